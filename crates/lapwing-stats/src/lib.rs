//! Estimators on counts and slices: how certain a rate is, also when samples share seeds and when
//! some are missing, how two rates differ or agree, what a handful of training seeds can say, how rates grow along an order, how well
//! scores tell two classes apart, and how far two raters agree.
//!
//! Pure functions. Probabilities, rates and levels lie in `[0, 1]`; a level is the nominal coverage, for example `0.95`.

mod auroc;
mod clustered;
mod data;
mod difference;
mod equivalence;
mod exact;
mod interval;
mod kappa;
mod missing;
mod paired;
mod quantile;
mod roc;
mod sign_flip;
mod trend;

pub use auroc::{Auroc, auroc, auroc_clustered};
pub use clustered::{Clustered, MIN_CLUSTERS, TooFewClusters, clustered};
pub use data::DataError;
pub use difference::{Difference, FourWay, independent, newcombe_paired};
pub use equivalence::{Equivalence, tost_paired, tost_rates, tost_sign_flip};
pub use exact::{benjamini_hochberg, fisher, holm, mcnemar};
pub use interval::{Interval, clopper_pearson, jeffreys, wilson};
pub use kappa::{Kappa, kappa};
pub use missing::bounds;
pub use paired::{MIN_PAIRS, NoInterval, Paired, paired, paired_rates};
pub use roc::{MIN_FALSE_POSITIVES, RocPoint, TprAtFpr, roc_curve, tpr_at_fpr};
pub use sign_flip::{MOST_FLIPPED, SignFlip, sign_flip, sign_flip_interval};
pub use trend::{MOST_PERMUTED, Spearman, Trend, cochran_armitage, spearman};
