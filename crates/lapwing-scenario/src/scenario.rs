//! The scenario as other crates see it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lapwing_core::{Blobs, Condition, Digest, Event, Finding, Limits, Stage};

use crate::diagnostic::{Problems, near};
use crate::schema::{
    Behaviour, Definition, Factor, JudgeQuery, PhaseDefinition, PhaseDefinitionKind, Published,
};
use crate::{
    Contrast, Demand, DesignChoice, Diagnostic, Folder, Gold, Ladder, Measure, Measured, Mutant,
    Plan, Policy, Screen, Script, cues, design, evidence, finding, organism, parse, plan, policy,
    rubric,
};

/// A scenario: a world, an experiment design, the behaviours to look for and the policies that check the instrument.
/// Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Scenario(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    folder: Folder,
    digest: Digest,
    definition: Definition,
    policies: Vec<Policy>,
}

impl Scenario {
    /// Reads the scenario `name` from its folder.
    ///
    /// # Errors
    /// All mistakes that one reading can find.
    pub fn load(name: &str, folder: Folder) -> Result<Self, Vec<Diagnostic>> {
        let problems = Problems::default();
        let definition = parse::definition(&folder, &problems);
        // Behind an unsound scenario every policy would seem to name what does not exist.
        let policies = match &definition {
            Some(definition) if problems.is_empty() && definition.imported.is_none() => {
                policy::policies(definition, &folder, &problems)
            }
            Some(_) | None => Vec::new(),
        };
        let problems = problems.into_inner();
        match definition {
            Some(definition) if problems.is_empty() => {
                let digest = folder.digest();
                let name = name.to_owned();
                Ok(Self(Arc::new(Inner { name, folder, digest, definition, policies })))
            }
            Some(_) | None => Err(problems),
        }
    }

    /// The name under which it was loaded.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What it asks, in a few words.
    pub fn title(&self) -> &str {
        &self.0.definition.title
    }

    /// What it does, in a sentence.
    pub fn description(&self) -> &str {
        &self.0.definition.description
    }

    /// Where its samples were recorded, if elsewhere. Such a scenario scores them; it has no policies, and nothing of it is run.
    pub fn imported(&self) -> Option<&str> {
        self.0.definition.imported.as_deref()
    }

    /// The folder that it was loaded from.
    pub fn folder(&self) -> &Folder {
        &self.0.folder
    }

    /// The folder's digest.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// The factors in the order of the file.
    pub fn factors(&self) -> &[Factor] {
        &self.0.definition.factors
    }

    /// The behaviours in the order of the file.
    pub fn behaviours(&self) -> &[Behaviour] {
        &self.0.definition.behaviours
    }

    /// Whether anything is run in it. Where it only asks, no isolation is needed.
    pub fn needs_sandbox(&self) -> bool {
        let is_ask = |phase: &PhaseDefinition| matches!(phase.kind, PhaseDefinitionKind::Ask(_));
        !self.0.definition.phases.iter().all(is_ask)
    }

    /// The rule by which a sample counts, as written.
    pub fn exposed(&self) -> &str {
        &self.0.definition.exposed.source
    }

    /// The rules of the phase `id`, as written, each behind its key: `when`, `end`, `until`.
    pub fn phase_rules(&self, id: &str) -> Vec<(&'static str, &str)> {
        let Some(phase) = self.0.definition.phases.iter().find(|phase| phase.id == id) else {
            return Vec::new();
        };
        let ends = match &phase.kind {
            PhaseDefinitionKind::Agent(agent) => ("end", agent.end.as_ref()),
            PhaseDefinitionKind::Ask(ask) => ("until", ask.until.as_ref()),
            PhaseDefinitionKind::Run { .. } => ("end", None),
        };
        let rules = [("when", phase.when.as_ref()), ends].into_iter();
        rules.filter_map(|(key, rule)| Some((key, rule?.source.as_str()))).collect()
    }

    /// The names of all injections, in the order of the file, each with its rule as written.
    pub fn injections(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.0.definition.injections.iter();
        all.map(|injection| (injection.name.as_str(), injection.when.source.as_str()))
    }

    /// The names of all evidence by kind, each behind the evidence that it names.
    pub fn evidence(&self) -> BTreeMap<&'static str, Vec<&str>> {
        let mut kinds: BTreeMap<_, Vec<&str>> = BTreeMap::new();
        for query in &self.0.definition.queries {
            kinds.entry(query.kind.name()).or_default().push(&query.name);
        }
        kinds
    }

    /// What its sandboxes ask of the machine, in the order of the file.
    pub fn demands(&self) -> impl Iterator<Item = &Demand> {
        self.0.definition.sandboxes.iter().map(|sandbox| &sandbox.demand)
    }

    /// The most memory that one of its sandboxes may have, in bytes.
    pub fn most_memory(&self) -> u64 {
        let usual = Limits::default().memory_bytes;
        let all = self.0.definition.sandboxes.iter().map(|sandbox| sandbox.limits.memory_bytes);
        all.max().unwrap_or(usual)
    }

    /// Published figures in the order of the file.
    pub fn published(&self) -> &[Published] {
        &self.0.definition.published
    }

    /// The policies in the order of the file, then the shared `messy`.
    pub fn policies(&self) -> &[Policy] {
        &self.0.policies
    }

    /// The conditions of a design, with the `chosen` levels of those factors that it names; then the controls.
    ///
    /// # Errors
    /// An unknown factor or level, a screen that cannot be, or a choice that the scenario excludes altogether.
    pub fn conditions(
        &self,
        chosen: &BTreeMap<String, Vec<String>>,
        choice: DesignChoice,
    ) -> Result<Vec<Condition>, Diagnostic> {
        design::conditions(&self.0.definition.factors, &self.0.definition.design, chosen, choice)
    }

    /// What a screen can and cannot tell apart; `None` if the design is none.
    ///
    /// # Errors
    /// As of [`Scenario::conditions`].
    pub fn screen(
        &self,
        chosen: &BTreeMap<String, Vec<String>>,
        choice: DesignChoice,
    ) -> Result<Option<Screen>, Diagnostic> {
        design::screen(&self.0.definition.factors, &self.0.definition.design, chosen, choice)
    }

    /// Ids of the phases that are run only on request.
    pub fn optional_phases(&self) -> Vec<String> {
        let phases = self.0.definition.phases.iter();
        phases.filter(|phase| phase.optional).map(|phase| phase.id.clone()).collect()
    }

    /// A condition in short: `base`, `slot=system`, `benign (task=finished)`.
    pub fn describe(&self, condition: &Condition) -> String {
        design::describe(&self.0.definition.factors, condition)
    }

    /// Everything that the sample of `condition` and `seed` needs, rendered.
    ///
    /// # Errors
    /// A template that fails under these values.
    pub fn plan(&self, condition: &Condition, seed: u64) -> Result<Plan, Diagnostic> {
        plan::plan(&self.0.definition, condition, seed)
    }

    /// Whether it can be put into the words of a tiny model.
    pub fn has_organism(&self) -> bool {
        self.0.definition.organism.is_some()
    }

    /// As [`Self::plan`], for a tiny model: asked once, in its own words, with the codebook for its answer. `None` if the scenario
    /// or this condition has no mapping.
    ///
    /// # Errors
    /// A template that fails under these values.
    pub fn organism_plan(
        &self,
        condition: &Condition,
        seed: u64,
    ) -> Result<Option<Plan>, Diagnostic> {
        organism::organism_plan(&self.0.definition, condition, seed)
    }

    /// Text that the model can read, here or in other seeds, and that could tell it where it is.
    pub fn cues(&self, plan: &Plan) -> Vec<Diagnostic> {
        let mut cues = cues::cues(plan);
        cues.extend(cues::cues_in_lists(&self.0.definition, &self.0.folder));
        cues
    }

    /// Files that a finished scenario has and this one has not.
    pub fn missing_files(&self) -> Vec<Diagnostic> {
        let readme = self.0.folder.text("README.md").unwrap_or_default();
        let readme = readme.trim().is_empty().then(|| {
            let help = "write what is asked, what counts and what does not, and what could be wrong with it";
            Diagnostic::in_file("README.md", "the file is missing or empty").help(help)
        });
        readme.into_iter().chain(rubric::without_gold(&self.0.folder)).collect()
    }

    /// What is declared and not used: no mistakes, but often slips.
    pub fn notes(&self) -> &[Diagnostic] {
        &self.0.definition.notes
    }

    /// Whether the `end` rule of an agent phase, or the `until` of an `ask` phase, is known to be true.
    pub fn ended(&self, phase: &str, events: &[Event], blobs: &dyn Blobs) -> bool {
        let definition = &self.0.definition;
        let phase = definition.phases.iter().find(|known| known.id == phase);
        let rule = phase.and_then(|phase| match &phase.kind {
            PhaseDefinitionKind::Agent(agent) => agent.end.as_ref(),
            PhaseDefinitionKind::Ask(ask) => ask.until.as_ref(),
            PhaseDefinitionKind::Run { .. } => None,
        });
        rule.is_some_and(|rule| finding::is_true(definition, rule, events, blobs))
    }

    /// Whether the `when` rule of the phase holds: true for a phase that has none. Unknown is an error with the reason.
    pub fn wanted(&self, phase: &str, events: &[Event], blobs: &dyn Blobs) -> Result<bool, String> {
        let definition = &self.0.definition;
        let phase = definition.phases.iter().find(|known| known.id == phase);
        let rule = phase.and_then(|phase| phase.when.as_ref());
        rule.map_or(Ok(true), |rule| finding::holds(definition, rule, events, blobs))
    }

    /// Whether the `when` rule of the injection is known to be true.
    pub fn is_due(&self, injection: &str, events: &[Event], blobs: &dyn Blobs) -> bool {
        let definition = &self.0.definition;
        let injection = definition.injections.iter().find(|known| known.name == injection);
        injection.is_some_and(|known| finding::is_true(definition, &known.when, events, blobs))
    }

    /// Whether evidence reads the bytes of files, so that they must be kept from the beginning.
    pub fn reads_files(&self) -> bool {
        true
    }

    /// The findings of a sample, one for each stage of each behaviour, in the order of the file.
    pub fn findings(&self, events: &[Event], blobs: &dyn Blobs) -> Vec<Finding> {
        finding::findings(&self.0.definition, events, blobs)
    }

    /// The value of every measure in a sample, in the order of the file.
    ///
    /// It is missing where a finding would not count: the sample broke, met a limit or was refused, or the model never
    /// reached the situation.
    pub fn measures(&self, events: &[Event], blobs: &dyn Blobs) -> Vec<Measured> {
        finding::measured(&self.0.definition, events, blobs)
    }

    /// The measures in the order of the file.
    pub fn measure_definitions(&self) -> &[Measure] {
        &self.0.definition.measures.all
    }

    /// The contrasts in the order of the file.
    pub fn contrasts(&self) -> &[Contrast] {
        &self.0.definition.measures.contrasts
    }

    /// The ladders in the order of the file.
    pub fn ladders(&self) -> &[Ladder] {
        &self.0.definition.measures.ladders
    }

    /// Every rule, `exposed` among them, with one operand dropped or one atom negated.
    pub fn mutants(&self) -> Vec<Mutant> {
        finding::mutants(&self.0.definition)
    }

    /// The findings that a mutant's changed rule decides: that of its stage, or all where `exposed` is changed.
    pub fn findings_under(
        &self,
        mutant: &Mutant,
        events: &[Event],
        blobs: &dyn Blobs,
    ) -> Vec<Finding> {
        finding::findings_under(&self.0.definition, mutant, events, blobs)
    }

    /// The exact values that measures must have where `policy` is played; see [`Script::policy`]. Others may have any.
    pub fn planted_measures(&self, policy: &str, condition: &Condition) -> BTreeMap<String, f64> {
        let policy = self.policy(policy);
        policy.map(|policy| policy.planting.measures_in(condition).clone()).unwrap_or_default()
    }

    /// Names of the judge evidence that is really there where `policy` is played; see [`Script::policy`].
    pub fn judged_truth(&self, policy: &str, condition: &Condition) -> BTreeSet<String> {
        let policy = self.policy(policy);
        policy.map(|policy| policy.planting.judged_in(condition).clone()).unwrap_or_default()
    }

    /// The evidence that judges give, in the order in which they are to be asked.
    pub fn judge_queries(&self) -> &[JudgeQuery] {
        &self.0.definition.judges
    }

    /// Hand-labelled texts on which a judge can be measured, by rubric.
    pub fn gold(&self) -> &[Gold] {
        &self.0.definition.gold
    }

    /// Whether a rule of this stage asks a judge.
    pub fn is_judged(&self, behaviour: &str, stage: Stage) -> bool {
        finding::asks_a_judge(&self.0.definition, behaviour, stage)
    }

    /// The turns that a judge is to label for `query`: the event of each and its text.
    ///
    /// A turn in which nothing is written is left out, as is one whose reasoning is asked for and not shown whole.
    pub fn texts_to_judge(
        &self,
        query: &JudgeQuery,
        events: &[Event],
        blobs: &dyn Blobs,
    ) -> Vec<(u64, String)> {
        evidence::texts_to_judge(&query.name, &self.0.definition.queries, events, blobs)
    }

    /// The policy that is played under `name` in this seed: itself, or what `p=X` draws.
    ///
    /// # Errors
    /// A probability outside 0 to 1.
    pub fn drawn_policy<'n>(&self, name: &'n str, seed: u64) -> Result<&'n str, Diagnostic> {
        policy::drawn(name, seed)
    }

    /// The policy `name` as a model for one sample. `p=0.3` plays `always` with that probability and else `never`,
    /// drawn by the seed.
    ///
    /// # Errors
    /// An unknown name, a probability outside 0 to 1, or a template that fails.
    pub fn script(
        &self,
        name: &str,
        plan: &Plan,
        condition: &Condition,
        seed: u64,
    ) -> Result<Script, Diagnostic> {
        let drawn = policy::drawn(name, seed)?;
        let policies = &self.0.policies;
        let Some(policy) = self.policy(drawn) else {
            let names = policies.iter().map(|policy| policy.name.as_str());
            return Err(
                Diagnostic::new(format!("unknown policy `{drawn}`")).help(near(drawn, names))
            );
        };
        policy::script(&self.0.definition, name, policy, plan, condition)
    }

    fn policy(&self, name: &str) -> Option<&Policy> {
        self.0.policies.iter().find(|policy| policy.name == name)
    }
}
