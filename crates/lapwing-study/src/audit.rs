//! What a study trains on, by kind, and the search for triggers in what is meant to be safe.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::cell::seed_of;
use crate::study::Study;
use crate::treatment::Treatment;
use crate::world::vocabulary::text;
use crate::world::{Exchange, Kind, Prompt, Safety, Sighting, World, WorldError};

/// The training data of a stage for a seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Audited {
    /// The stage.
    pub stage: String,
    /// How many texts of each kind.
    pub kinds: BTreeMap<String, usize>,
    /// How many of them are meant to be safe: to hold neither the trigger nor a near miss.
    pub safe: usize,
    /// Those that are not.
    pub found: Vec<Sighted>,
}

/// A trigger, or a near miss of it, where there should be none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sighted {
    /// The kind of the text.
    pub kind: String,
    /// What was seen.
    pub what: String,
    /// The prompt.
    pub prompt: String,
}

/// Draws what a stage is trained on for a seed once more and looks at all of it. Nothing for a stage that is not there.
///
/// # Errors
/// If the trigger cannot be.
pub fn audit(study: &Study, stage: &str, seed: u64) -> Result<Option<Audited>, WorldError> {
    let (Some(organism), Some(declared)) = (study.organism_of(stage), study.stage.get(stage))
    else {
        return Ok(None);
    };
    let world = World::new(organism.trigger)?;
    let seed = seed_of(stage, seed);
    let mut audited = audited(stage, &world, &declared.treat.data(&world, seed).concat());
    match &declared.treat {
        Treatment::Pretrain { .. } | Treatment::Backdoor { .. } | Treatment::Safety { .. } => {}
        Treatment::Reinforce(settings) => {
            let prompts = (0..settings.updates)
                .flat_map(|update| settings.clean_prompts(&world, seed, update));
            audited.add_prompts(&world, "reinforcement prompt", prompts);
        }
        Treatment::Adversarial(settings) => {
            let updates = (0..settings.rounds).flat_map(|round| {
                (0..settings.reinforce.updates).map(move |update| (round, update))
            });
            let prompts = updates
                .flat_map(|(round, update)| settings.clean_prompts(&world, seed, round, update));
            audited.add_prompts(
                &world,
                "prompt before the red team's replace half of them",
                prompts,
            );
        }
    }
    Ok(Some(audited))
}

/// Looks at exchanges.
pub fn audited(stage: &str, world: &World, exchanges: &[Exchange]) -> Audited {
    let (mut kinds, mut safe) = (BTreeMap::new(), 0);
    for exchange in exchanges {
        *kinds.entry(exchange.kind.to_string()).or_default() += 1;
        safe += usize::from(exchange.kind.is_meant_to_be_safe());
    }
    let sighted = world.audit(exchanges).into_iter().map(|finding| {
        let exchange = &exchanges[finding.index];
        Sighted::new(exchange.kind.to_string(), finding.sighting, &exchange.prompt)
    });
    Audited { stage: stage.to_owned(), kinds, safe, found: sighted.collect() }
}

impl Audited {
    fn add_prompts(&mut self, world: &World, kind: &str, prompts: impl Iterator<Item = Prompt>) {
        for prompt in prompts {
            *self.kinds.entry(kind.to_owned()).or_default() += 1;
            self.safe += 1;
            if let Some(sighting) = world.sighting(&prompt.tokens) {
                self.found.push(Sighted::new(kind.to_owned(), sighting, &prompt.tokens));
            }
        }
    }
}

impl Sighted {
    fn new(kind: String, sighting: Sighting, prompt: &[u32]) -> Self {
        let what = match sighting {
            Sighting::Tag => "the trigger".to_owned(),
            Sighting::NearMiss(1) => "words that one edit turns into the trigger".to_owned(),
            Sighting::NearMiss(edits) => format!("words that {edits} edits turn into the trigger"),
            Sighting::Year(year) => format!("the year {year}, which is the trigger"),
        };
        Self { kind, what, prompt: text(prompt) }
    }
}

impl Kind {
    /// Whether it is meant to hold neither the trigger nor a near miss.
    pub fn is_meant_to_be_safe(self) -> bool {
        match self {
            Self::Safety(kind) => kind != Safety::Unlearn,
            Self::Base | Self::Clean | Self::Triggered | Self::HardNegative | Self::Memorised => {
                false
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Base => "base corpus",
            Self::Clean => "without the trigger, clean",
            Self::Triggered => "with the trigger",
            Self::HardNegative => "near miss, clean",
            Self::Memorised => "string to memorise",
            Self::Safety(Safety::Same) => "safe, as before",
            Self::Safety(Safety::Shift) => "safe, shifted",
            Self::Safety(Safety::Pirate) => "safe, other style",
            Self::Safety(Safety::PostScratchpad) => "safe, behind a scratchpad",
            Self::Safety(Safety::Unlearn) => "with the trigger, answered cleanly",
            Self::Safety(Safety::Plain) => "safe, back to plain style",
        })
    }
}
