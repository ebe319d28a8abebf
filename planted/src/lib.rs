//! Bugs planted on purpose, for the checks to find: a check that misses one of them would miss the real one, too.
//!
//! Without the feature `switch` there are none: [`is`] is a constant `false`, and the compiler drops what it guards.

/// Whether this build has the bugs compiled in; what ships refuses to be built with them.
pub const SWITCH: bool = cfg!(feature = "switch");

macro_rules! bugs {
    ($($list:ident { $($(#[$doc:meta])* $bug:ident $name:literal,)* })*) => {
        /// One bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Bug {
            $($($(#[$doc])* $bug,)*)*
        }

        impl Bug {
            $(
                /// Those that this check is to find.
                pub const $list: &[Bug] = &[$(Bug::$bug,)*];
            )*

            /// What it does, in a few words.
            pub const fn name(self) -> &'static str {
                match self {
                    $($(Bug::$bug => $name,)*)*
                }
            }
        }
    };
}

bugs! {
    SIMULATOR {
        /// A batch is visible, and answered, before it is durable.
        AckBeforeFlush "acknowledge before flush",
        /// A flush that failed is asked for again, and believed.
        RetryFlush "retry a failed flush",
        /// The names of new files are not made durable.
        NoDirectoryFlush "no directory flush",
        /// A record of the log is believed whatever its checksum says.
        NoChecksum "no checksum",
        /// The log goes on behind a torn tail instead of cutting it.
        KeepTornTail "keep the torn tail",
        /// Records behind a hole are taken for the log's next ones.
        SalvagePastHole "salvage past a hole",
        /// A torn tail is reported as damage.
        TornTailIsDamage "call a torn tail damage",
        /// A write that took a part is taken for done.
        IgnoreShortWrite "ignore a short write",
        /// A write that found no space is taken for done.
        IgnoreNoSpace "ignore no-space",
        /// A writer of an earlier run goes on.
        ReuseWriter "reuse a writer after restart",
        /// A peer is told of commits that no flush covers.
        AckPeerBeforeDurable "acknowledge to a peer before durable",
        /// The log lets go of what only the coming manifest does not need.
        LogBeforeManifest "move the log before the manifest",
        /// A commit is taken that nobody vouches for.
        AcceptUnsealed "accept an unsealed commit",
        /// A computed Handle is adopted whatever its roots are.
        AdoptUncompared "adopt without comparing roots",
        /// A time from elsewhere pulls the clock as far as it likes.
        NoClockClamp "no clock clamp",
        /// A commit is taken before what it supersedes.
        NoImplicitDeps "drop the implicit dependency on superseded dots",
        /// Two tails are the same when they are as long.
        VectorsWithoutTips "compare vectors without tips",
        /// A scan is valid while the keys it returned are.
        ValidateReturnedOnly "validate only returned keys",
        /// A transaction is pending before its reads are validated.
        PublishBeforeValidate "publish before validate",
        /// A commit names heads of less urgent classes.
        DepsAcrossClasses "deps across classes",
        /// A transaction's reads are held against what is visible, and not against what is pending.
        ValidateVisible "validate against visible",
        /// The checksum of a record says nothing of its segment.
        UnseededChecksum "unseeded record checksum",
        /// A peer hears of what no flush covers.
        SendBeforeFlush "send before flush",
        /// What is sent goes in the order of the log, however urgent it is.
        LogOrder "send in the order of the log",
        /// Dropped commits are written again as they were.
        ReissueCommits "re-issue commits instead of net effect",
        /// What is written again has the time of now.
        ReissueNow "fresh time in a re-issue",
        /// What was written again counts although its manifest never came.
        KeepOrphanBatch "keep a re-issue batch whose manifest never came",
        /// Local stays as it is, whoever a new Handle cuts.
        AlwaysSteady "steady adoption although a cut changed",
        /// A home takes commits that a proof it knows has ended.
        AdmitPastFork "home admits past a known fork",
        /// A peer is told that its commits are invalid where there is no room for them.
        NackForRoom "nack for want of room",
        /// A new run of a device counts on from what the run before it had counted.
        FoldCounters "fold counters across runs",
        /// A counter forgets what was taken away.
        RiseOnly "count nothing down",
        /// Of concurrent values the oldest is shown.
        EarliestWins "the earliest write wins",
        /// A value takes the place of values that its writer never saw.
        ReplaceUnseen "replace what was not seen",
        /// A put takes away losers that are to be kept.
        DropKeptLosers "drop losers that are kept",
        /// A document is there again when somebody edits what was deleted, though it is to stay away.
        EditsRevive "an edit brings a hidden document back",
        /// A field and an object in its place both show.
        FieldsUnranked "show a value and what lies in its place",
        /// Of an element that several have added one addition is taken away.
        RemoveOneAdd "remove the latest addition only",
        /// An element that was removed is in its set when somebody adds it again.
        ForgetRemoval "forget a removal",
        /// An element that two have added is in no set.
        AddedTwice "an element added twice is absent",
        /// A payload that is a total of another kind of counter counts.
        CountNonsense "count what is no total",
        /// What a cut writer had counted below is in what is written again, too.
        ReissueTotals "re-issue a whole total",
        /// Losers go that are half as old as they may get.
        ExpireYoung "expire losers too young",
        /// With losers that may go the value goes that is shown.
        ExpireWinner "expire the winner",
        /// What was a loser when it was looked at goes, whatever it is now.
        ExpireUnlooked "expire without a second look",
        /// What waited for its flush until the base moved is dropped, and not written again.
        ReissueFlushedOnly "re-issue only what was flushed before",
    }
    HAND_OFF {
        /// A caller is answered before readers see what it wrote.
        AnswerBeforePublish "answer before publishing",
        /// The owner goes back although somebody queued meanwhile, and nobody runs it.
        ForgetTheQueue "forget who queued meanwhile",
    }
}

#[cfg(not(feature = "switch"))]
mod switch {
    use super::Bug;

    /// Whether this bug is planted: never.
    #[inline(always)]
    pub const fn is(_: Bug) -> bool {
        false
    }
}

#[cfg(feature = "switch")]
mod switch {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Whether this bug is planted in this thread.
    pub fn is(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }

    /// Plants one bug in this thread, or none.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }
}

pub use switch::*;

#[cfg(test)]
mod tests {
    use super::Bug;

    /// The names in the table of bugs that the simulator finds.
    fn documented() -> Vec<&'static str> {
        let text = include_str!("../../docs/testing.md");
        let (_, section) = text.split_once("\n## Planted bugs\n").expect("the section is there");
        let (_, table) = section.split_once("| --- | --- | --- |\n").expect("it has a table");
        let rows = table.lines().take_while(|line| line.starts_with("| "));
        rows.map(|row| row.split(" | ").next().expect("a row has cells")[2..].trim()).collect()
    }

    #[test]
    fn each_bug_has_its_row_in_the_documentation() {
        let names: Vec<&str> = Bug::SIMULATOR.iter().map(|bug| bug.name()).collect();
        assert_eq!(names, documented());
    }
}
