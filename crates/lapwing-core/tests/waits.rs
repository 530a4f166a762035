//! Time that a model waits, as another thread sees it. `cargo xtask miri` runs this in many orders.

use std::thread;

use lapwing_core::Waits;

#[test]
fn who_sees_that_a_wait_has_ended_sees_how_long_it_took() {
    let waits = Waits::default();
    waits.begin();
    thread::scope(|scope| {
        scope.spawn(|| waits.end(7));
        while waits.is_waiting() {
            thread::yield_now();
        }
        assert_eq!(waits.millis(), 7);
    });
}
