//! The seeds from which calls are sampled.

use std::collections::BTreeMap;

use lapwing_core::{Condition, Draw};

#[test]
fn every_call_has_a_sampling_seed_of_its_own_and_the_same_in_every_run() {
    let draw = |seed, epoch, call| Draw { seed, epoch, call, ..Draw::default() };
    let levels = BTreeMap::from([("factor".to_owned(), "level".to_owned())]);
    let condition = Condition { levels, ..Condition::default() };
    let other = Draw { condition, ..Draw::default() };
    let draws = [draw(0, 0, 0), draw(1, 0, 0), draw(0, 1, 0), draw(0, 0, 1), other];
    let mut seeds: Vec<u64> =
        draws.iter().flat_map(|draw| [draw.sampling_seed(0), draw.sampling_seed(7)]).collect();
    assert_eq!(seeds[0], draw(0, 0, 0).sampling_seed(0));
    assert!(seeds.iter().all(|seed| *seed < 1 << 31));
    seeds.sort_unstable();
    seeds.dedup();
    assert_eq!(seeds.len(), 10);
}
