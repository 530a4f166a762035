//! Everything that decides the weights that training ends with, but the data.

use serde::{Deserialize, Serialize};

/// Settings of a training run. They are kept with every checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Steps of the optimiser.
    pub steps: u64,
    /// Examples of a step.
    pub batch_size: usize,
    /// The highest learning rate.
    pub learning_rate: f64,
    /// Steps over which the rate rises from 0, evenly.
    pub warmup_steps: u64,
    /// The rate of the last step as a part of the highest; between them it falls as a cosine.
    pub final_rate: f64,
    /// Decay of AdamW's mean of gradients.
    pub beta_1: f64,
    /// Decay of AdamW's mean of squared gradients.
    pub beta_2: f64,
    /// ε of AdamW.
    pub epsilon: f64,
    /// Decoupled weight decay of matrices; norms and biases have none.
    pub weight_decay: f64,
    /// Gradients are scaled down to this norm, taken over all weights.
    pub clip_norm: f64,
    /// Parts of a batch whose gradients are summed in a tree: at most so many threads work at once, and each needs memory for
    /// one gradient.
    pub shards: usize,
    /// Tokens that a thread runs at once; a shard with more accumulates.
    pub micro_tokens: usize,
    /// Seed of the order of examples.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            steps: 1000,
            batch_size: 32,
            learning_rate: 1e-3,
            warmup_steps: 50,
            final_rate: 0.1,
            beta_1: 0.9,
            beta_2: 0.95,
            epsilon: 1e-8,
            weight_decay: 0.1,
            clip_norm: 1.0,
            shards: 4,
            micro_tokens: 1024,
            seed: 1,
        }
    }
}

/// A setting that cannot be.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{key} is {value}; it must be {must}")]
pub struct SettingsError {
    /// The setting.
    pub key: &'static str,
    /// Its value.
    pub value: f64,
    /// What it must be.
    pub must: &'static str,
}

impl Settings {
    /// Whether training can use these.
    pub fn check(&self) -> Result<(), SettingsError> {
        let counts = [
            ("batch_size", self.batch_size),
            ("shards", self.shards),
            ("micro_tokens", self.micro_tokens),
        ];
        for (key, value) in counts {
            if value == 0 {
                return Err(SettingsError { key, value: 0.0, must: "at least 1" });
            }
        }
        let positive = [
            ("learning_rate", self.learning_rate),
            ("epsilon", self.epsilon),
            ("clip_norm", self.clip_norm),
        ];
        for (key, value) in positive {
            if !(value > 0.0 && value.is_finite()) {
                return Err(SettingsError { key, value, must: "above 0" });
            }
        }
        let parts =
            [("beta_1", self.beta_1), ("beta_2", self.beta_2), ("weight_decay", self.weight_decay)];
        for (key, value) in parts {
            if !(0.0..1.0).contains(&value) {
                return Err(SettingsError { key, value, must: "at least 0 and below 1" });
            }
        }
        if !(0.0..=1.0).contains(&self.final_rate) {
            let value = self.final_rate;
            return Err(SettingsError { key: "final_rate", value, must: "from 0 to 1" });
        }
        Ok(())
    }

    /// The learning rate of a step, counted from 0.
    pub fn rate(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            return self.learning_rate * (step + 1) as f64 / self.warmup_steps as f64;
        }
        let falling = self.steps.saturating_sub(self.warmup_steps + 1).max(1);
        let done = ((step - self.warmup_steps) as f64 / falling as f64).min(1.0);
        let cosine = f64::midpoint(1.0, (std::f64::consts::PI * done).cos());
        self.learning_rate * (self.final_rate + (1.0 - self.final_rate) * cosine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "the same formula")]
    fn the_rate_rises_evenly_and_falls_as_a_cosine() {
        let settings = Settings {
            steps: 12,
            warmup_steps: 2,
            learning_rate: 1.0,
            final_rate: 0.2,
            ..Settings::default()
        };
        let rates: Vec<f64> = (0..12).map(|step| settings.rate(step)).collect();
        assert_eq!(rates[..3], [0.5, 1.0, 1.0]);
        assert!((settings.rate(2 + 3) - (0.2 + 0.8 * 0.75)).abs() < 1e-12, "a third of the way");
        assert!((rates[11] - 0.2).abs() < 1e-12);
        assert_eq!(settings.rate(50), rates[11]);
    }

    #[test]
    fn a_setting_that_cannot_be_is_named() {
        let error = |settings: Settings| settings.check().unwrap_err().to_string();
        let default = Settings::default;
        assert_eq!(
            error(Settings { shards: 0, ..default() }),
            "shards is 0; it must be at least 1"
        );
        assert_eq!(
            error(Settings { learning_rate: f64::NAN, ..default() }),
            "learning_rate is NaN; it must be above 0"
        );
        assert_eq!(
            error(Settings { beta_2: 1.0, ..default() }),
            "beta_2 is 1; it must be at least 0 and below 1"
        );
    }
}
