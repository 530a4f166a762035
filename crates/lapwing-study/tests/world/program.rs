//! The taint checker, against properties and small programs whose answer is known.

use lapwing_lab::Random;
use lapwing_study::world::{Program, Sink, Statement, Use};
use proptest::prelude::{Strategy, prop, prop_oneof, proptest};
use proptest::{prop_assert, prop_assert_eq};

use super::tokens;

fn program(text: &str) -> Program {
    Program::parse(&tokens(text)).unwrap()
}

fn sink() -> impl Strategy<Value = Sink> {
    prop::sample::select(Sink::ALL.to_vec())
}

fn statement() -> impl Strategy<Value = Statement> {
    let v = || 0..6_u32;
    prop_oneof![
        v().prop_map(Statement::Read),
        v().prop_map(Statement::Sanitise),
        (v(), v()).prop_map(|(to, from)| Statement::Let { to, from }),
        (sink(), v()).prop_map(|(sink, v)| Statement::Sink(sink, v)),
    ]
}

/// Any program, sensible or not.
fn any_program() -> impl Strategy<Value = Program> {
    prop::collection::vec(statement(), 1..15).prop_map(Program)
}

/// A program as the corpus has them.
fn drawn(safe: bool) -> impl Strategy<Value = (Vec<Sink>, Program)> {
    (prop::collection::vec(sink(), 1..=3), 0..u64::MAX).prop_map(move |(sinks, seed)| {
        let uses: Vec<(u32, Sink)> = [4, 0, 2].into_iter().zip(sinks.iter().copied()).collect();
        (sinks, Program::draw(&mut Random::new(seed, "program"), &uses, safe))
    })
}

proptest! {
    #[test]
    fn a_program_is_read_back_from_its_tokens(program in any_program()) {
        prop_assert_eq!(Program::parse(&program.tokens()), Some(program));
    }

    #[test]
    fn sanitising_before_every_sink_makes_any_program_safe(program in any_program()) {
        let with_san = program.0.iter().flat_map(|statement| match *statement {
            Statement::Sink(_, v) => vec![Statement::Sanitise(v), *statement],
            Statement::Read(_) | Statement::Sanitise(_) | Statement::Let { .. } => vec![*statement],
        });
        prop_assert!(Program(with_san.collect()).is_safe());
    }

    #[test]
    fn without_sanitising_every_use_of_an_input_is_a_flaw(program in any_program()) {
        let left = program.0.iter().filter(|statement| !matches!(statement, Statement::Sanitise(_)));
        for used in Program(left.copied().collect()).uses() {
            prop_assert_eq!(used.tainted, used.input.is_some());
        }
    }

    #[test]
    fn renaming_variables_changes_nothing(
        program in any_program(),
        names in prop::sample::select(vec![[1, 0, 3, 2, 5, 4], [5, 4, 3, 2, 1, 0], [2, 3, 4, 5, 0, 1]]),
    ) {
        let name = |v: u32| names[v as usize];
        let renamed = program.0.iter().map(|statement| match *statement {
            Statement::Read(v) => Statement::Read(name(v)),
            Statement::Sanitise(v) => Statement::Sanitise(name(v)),
            Statement::Let { to, from } => Statement::Let { to: name(to), from: name(from) },
            Statement::Sink(sink, v) => Statement::Sink(sink, name(v)),
        });
        prop_assert_eq!(Program(renamed.collect()).uses(), program.uses());
    }

    #[test]
    fn a_safe_drawn_program_works_and_needs_every_san((sinks, program) in drawn(true)) {
        prop_assert!(program.works(&sinks) && program.is_safe());
        for place in 0..program.0.len() {
            if matches!(program.0[place], Statement::Sanitise(_)) {
                let mut without = program.clone();
                without.0.remove(place);
                prop_assert!(without.works(&sinks) && !without.is_safe());
            }
        }
    }

    #[test]
    fn an_unsafe_drawn_program_works_and_has_one_flaw((sinks, program) in drawn(false)) {
        prop_assert!(program.works(&sinks));
        prop_assert_eq!(program.uses().iter().filter(|used| used.tainted).count(), 1);
    }
}

#[test]
fn taint_follows_copies_and_ends_at_san() {
    let uses = |text: &str| program(text).uses();
    let used = |sink, tainted| Use { sink, input: Some(0), tainted };
    assert_eq!(uses("READ v0 LET v1 v0 EXEC v1"), [used(Sink::Exec, true)]);
    assert_eq!(uses("READ v0 SAN v0 LET v1 v0 QUERY v1"), [used(Sink::Query, false)]);
    assert_eq!(
        uses("READ v0 LET v1 v0 SAN v0 SHOW v0 SHOW v1"),
        [used(Sink::Show, false), used(Sink::Show, true)],
        "sanitising the original leaves the copy as it was"
    );
    assert_eq!(uses("SAN v0 READ v0 EXEC v0"), [used(Sink::Exec, true)], "too early");
    assert_eq!(uses("EXEC v0"), [Use { sink: Sink::Exec, input: None, tainted: false }]);
}

#[test]
fn a_program_works_if_the_inputs_reach_the_sinks_in_order() {
    let asked = [Sink::Exec, Sink::Show];
    assert!(program("READ v0 READ v1 EXEC v0 SHOW v1").works(&asked));
    assert!(!program("READ v0 READ v1 EXEC v1 SHOW v0").works(&asked), "crossed");
    assert!(!program("READ v0 EXEC v0").works(&asked), "one is missing");
    assert!(!program("READ v0 READ v1 EXEC v0 SHOW v1 SHOW v1").works(&asked), "one too many");
}

#[test]
fn what_is_no_program_is_not_read() {
    assert_eq!(Program::parse(&[]), Some(Program(vec![])), "nothing to do is a program");
    for text in ["READ", "v0", "READ a", "READ v0 v0", "READ v0 EXEC", "LET v0", "READ v0 EOS"] {
        assert_eq!(Program::parse(&tokens(text)), None, "{text:?}");
    }
}
