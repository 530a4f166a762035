//! Estimators on counts and slices: how certain a rate is, also when samples share seeds and when
//! some are missing, how two rates differ, and how far two raters agree.
//!
//! Pure functions. Probabilities, rates and levels lie in `[0, 1]`; a level is the nominal coverage, for example `0.95`.

mod clustered;
mod difference;
mod exact;
mod interval;
mod kappa;
mod missing;
mod paired;
mod quantile;

pub use clustered::{Clustered, MIN_CLUSTERS, TooFewClusters, clustered};
pub use difference::{Difference, FourWay, independent, newcombe_paired};
pub use exact::{fisher, holm, mcnemar};
pub use interval::{Interval, clopper_pearson, jeffreys, wilson};
pub use kappa::{Kappa, kappa};
pub use missing::bounds;
pub use paired::{MIN_PAIRS, NoInterval, Paired, paired, paired_rates};
