//! The real disk and the one in memory answer alike while nothing goes wrong.

use std::io;
use std::path::Path;

use disk::{Disk, File, MemoryDisk, RealDisk};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Create(String),
    CreateDir(String),
    Write(String, u64, Vec<u8>),
    SetLen(String, u64),
    Rename(String, String),
    Remove(String),
    List(String),
    Read(String),
    FlushDir(String),
}

fn step() -> impl Strategy<Value = Step> {
    let dir = prop::sample::select(vec!["", "d", "d/e"]).prop_map(str::to_owned);
    let name = || prop::sample::select(vec!["a", "b", "d/a", "d/b", "d/e/a", "x/a"]).prop_map(str::to_owned);
    prop_oneof![
        3 => name().prop_map(Step::Create),
        1 => prop::sample::select(vec!["d", "d/e", ""]).prop_map(|dir| Step::CreateDir(dir.to_owned())),
        3 => (name(), 0..600u64, any::<Vec<u8>>()).prop_map(|(name, at, bytes)| Step::Write(name, at, bytes)),
        1 => (name(), 0..600u64).prop_map(|(name, len)| Step::SetLen(name, len)),
        2 => (name(), name()).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => name().prop_map(Step::Remove),
        1 => dir.clone().prop_map(Step::List),
        2 => name().prop_map(Step::Read),
        1 => dir.prop_map(Step::FlushDir),
    ]
}

/// What a step gives, as far as both disks have to agree on it.
fn run(disk: &impl Disk, step: &Step) -> Result<String, io::ErrorKind> {
    let result = match step {
        Step::Create(name) => disk.create(name).map(|_| String::new()),
        Step::CreateDir(dir) => disk.create_dir(dir).map(|()| String::new()),
        Step::Write(name, at, bytes) => {
            disk.open(name).and_then(|file| file.write_all_at(bytes, *at)).map(|()| String::new())
        }
        Step::SetLen(name, len) => disk
            .open(name)
            .and_then(|file| file.set_len(*len).and_then(|()| file.flush()))
            .map(|()| String::new()),
        Step::Rename(from, to) => disk.rename(from, to).map(|()| String::new()),
        Step::Remove(name) => disk.remove(name).map(|()| String::new()),
        Step::List(dir) => disk.list(dir).map(|names| names.join(" ")),
        Step::Read(name) => disk.read(name).map(|bytes| format!("{bytes:?}")),
        Step::FlushDir(dir) => disk.flush_dir(dir).map(|()| String::new()),
    };
    result.map_err(|error| error.kind())
}

/// An empty folder of this name, made anew.
fn folder(name: &str) -> RealDisk {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if path.exists() {
        std::fs::remove_dir_all(&path).unwrap();
    }
    let disk = RealDisk::new(path);
    disk.create_dir("").unwrap();
    disk
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn both_disks_answer_alike(steps in prop::collection::vec(step(), 1..40)) {
        let (real, memory) = (folder("agreement"), MemoryDisk::new(1));
        for step in &steps {
            prop_assert_eq!(run(&real, step), run(&memory, step), "{:?}", step);
        }
    }
}

#[test]
fn a_real_lock_has_one_holder() {
    let disk = folder("lock");
    let lock = disk.lock("LOCK").unwrap();
    assert_eq!(disk.within("").lock("LOCK").unwrap_err().kind(), io::ErrorKind::WouldBlock);
    drop(lock);
    drop(disk.lock("LOCK").unwrap());
}

#[test]
#[should_panic(expected = "is not a name below the folder")]
fn a_name_cannot_leave_the_folder() {
    drop(folder("outside").open_read("../elsewhere"));
}
