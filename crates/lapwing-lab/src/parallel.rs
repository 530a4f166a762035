//! Threads over independent pieces of work.

use std::sync::{Mutex, PoisonError};
use std::thread;

/// Runs `work` on every item, on as many threads as there are states; a thread keeps its state from item to item. Which thread gets
/// which item is left open, so a result must not depend on the state.
pub(crate) fn each<S: Send, T: Send>(
    states: &mut [S],
    items: impl Iterator<Item = T> + Send,
    work: impl Fn(&mut S, T) + Sync,
) {
    if let [state] = states {
        return items.for_each(|item| work(state, item));
    }
    let queue = Mutex::new(items);
    thread::scope(|scope| {
        for state in states {
            scope.spawn(|| {
                loop {
                    let item = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(item) = item else { break };
                    work(state, item);
                }
            });
        }
    });
}

/// Cuts a buffer into pieces of the given lengths.
pub(crate) fn cut<T>(
    mut buffer: &mut [T],
    lengths: impl IntoIterator<Item = usize>,
) -> Vec<&mut [T]> {
    let mut pieces = Vec::new();
    for length in lengths {
        let (piece, rest) = buffer.split_at_mut(length);
        pieces.push(piece);
        buffer = rest;
    }
    pieces
}
