//! When to try again.

use crdt::Time;
use proptest::prelude::*;
use sync::{Backoff, BackoffConfig};

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_delay_lies_between_zero_and_a_bound_that_doubles_to_the_cap(seed: u64, failures in 1u32..200) {
        let config = BackoffConfig::default();
        let mut backoff = Backoff::new(seed, config);
        for failure in 0..failures {
            let bound = backoff.bound_ms();
            prop_assert_eq!(bound, config.cap_ms.min(config.first_ms << failure.min(20)));
            prop_assert!(backoff.fail(Time(5)).since(Time(5)) <= bound);
        }
    }

    #[test]
    fn one_seed_gives_one_series_and_a_reset_starts_small_again(seed: u64) {
        let series = |backoff: &mut Backoff| (0..20).map(|_| backoff.fail(Time(0))).collect::<Vec<_>>();
        let mut one = Backoff::new(seed, BackoffConfig::default());
        let mut two = Backoff::new(seed, BackoffConfig::default());
        prop_assert_eq!(series(&mut one), series(&mut two));
        one.reset();
        prop_assert!(one.fail(Time(0)) <= Time(1_000));
    }

    #[test]
    fn a_peer_that_asks_for_patience_gets_it_within_reason(seed: u64, asked: u64) {
        let config = BackoffConfig::default();
        let at = Backoff::new(seed, config).fail_until(Time(0), asked);
        prop_assert!(at >= Time(asked.min(config.cap_ms)));
        prop_assert!(at <= Time(config.cap_ms + 3_600_000));
    }
}

#[test]
fn delays_fill_their_range() {
    let mut backoff = Backoff::new(1, BackoffConfig { first_ms: 1_000, cap_ms: 1_000 });
    let delays: Vec<u64> = (0..2_000).map(|_| backoff.fail(Time(0)).0).collect();
    let mean = delays.iter().sum::<u64>() / 2_000;
    assert!((450..550).contains(&mean), "mean {mean}");
    assert!(delays.iter().any(|delay| *delay < 20) && delays.iter().any(|delay| *delay > 980));
}
