//! Answers: alone and among others, by seed, given up, stopped, cut.

use std::sync::Arc;

use lapwing_lab::sample::{End, Request, Sampling, generate, stop_tokens};
use lapwing_local::{Ask, AskError, Finished, Local};

use crate::support::{checkpoint, random, saying};

fn drawing(seed: u64, max_tokens: usize) -> Ask {
    let sampling = Sampling { temperature: 1.0, top_p: 0.95, max_tokens };
    Ask { sampling, seed, ..Ask::default() }
}

async fn answer(model: &Arc<Local>, prompt: &str, ask: Ask) -> Finished {
    let tokens = model.text_tokens(prompt).unwrap();
    model.answer(tokens, ask).await.unwrap().finish().await.unwrap()
}

#[tokio::test]
async fn an_answer_is_the_same_to_the_bit_alone_and_among_others() {
    let prompts: Vec<String> = (0..40).map(|n| "lapwing ".repeat(1 + n % 7)).collect();
    let crowded = random(2);
    let mut begun = Vec::new();
    for (seed, prompt) in (0..).zip(&prompts) {
        let tokens = crowded.text_tokens(prompt).unwrap();
        begun.push(crowded.answer(tokens, drawing(seed, 8 + seed as usize)).await.unwrap());
    }
    let alone = random(1);
    for ((seed, prompt), among) in (0..).zip(&prompts).zip(begun) {
        let among = among.finish().await.unwrap();
        let alone = answer(&alone, prompt, drawing(seed, 8 + seed as usize)).await;
        assert_eq!(among, alone, "{seed}");
    }
}

#[tokio::test]
async fn answers_are_those_of_the_laboratory() {
    let model = random(1);
    let prompt = model.text_tokens("A lapwing, Vanellus").unwrap();
    let ask = drawing(7, 30);
    let ours = model.answer(prompt.clone(), ask.clone()).await.unwrap().finish().await.unwrap();
    let loaded = lapwing_lab::checkpoint::Model::load(&checkpoint()).unwrap();
    let packed = lapwing_lab::nn::PackedNetwork::new(&loaded.network);
    let request = Request { prompt, seed: 7 };
    let theirs =
        generate(&packed, &[request], ask.sampling, &stop_tokens(&loaded.stops), 1).unwrap();
    let tokens: Vec<u32> = ours.steps.iter().map(|step| step.token).collect();
    let logs: Vec<f32> = ours.steps.iter().map(|step| step.log_probability).collect();
    assert_eq!((tokens, logs), (theirs[0].tokens.clone(), theirs[0].log_probabilities.clone()));
}

#[tokio::test]
async fn a_prompt_that_is_read_in_parts_beside_others_gives_the_same_answer() {
    // Two long prompts at a time do not fit into one step.
    let model = random(1);
    let prompt = "v".repeat(120);
    let alone = answer(&model, &prompt, drawing(1, 8)).await;
    let mut begun = Vec::new();
    for _ in 0..6 {
        let tokens = model.text_tokens(&prompt).unwrap();
        begun.push(model.answer(tokens, drawing(1, 8)).await.unwrap());
    }
    for answer in begun {
        assert_eq!(answer.finish().await.unwrap(), alone);
    }
}

#[tokio::test]
async fn seeds_decide_what_is_drawn_and_zero_temperature_takes_the_likeliest() {
    let model = random(2);
    let one = answer(&model, "x", drawing(1, 20)).await;
    assert_eq!(one, answer(&model, "x", drawing(1, 20)).await);
    assert_ne!(one.steps, answer(&model, "x", drawing(2, 20)).await.steps);
    let likeliest = |seed| {
        let mut ask = drawing(seed, 20);
        ask.sampling.temperature = 0.0;
        ask.top = 3;
        ask
    };
    let greedy = answer(&model, "x", likeliest(1)).await;
    assert_eq!(greedy, answer(&model, "x", likeliest(2)).await);
    for step in &greedy.steps {
        assert_eq!((step.token, step.log_probability), step.top[0]);
        assert!(step.top.is_sorted_by(|a, b| a.1 >= b.1) && step.top.len() == 3);
    }
}

#[tokio::test]
async fn what_is_given_up_makes_room() {
    // More than all slots and the queue hold, each of which would take its whole context.
    let model = random(1);
    for seed in 0..600 {
        let tokens = model.text_tokens("x").unwrap();
        drop(model.answer(tokens, drawing(seed, usize::MAX)).await.unwrap());
    }
    assert_eq!(answer(&model, "x", drawing(1, 2)).await.end, End::Length);
}

#[tokio::test]
async fn an_answer_stops_at_a_text_across_tokens_and_keeps_the_tokens_up_to_there() {
    let model = saying(&["one ", "tw", "o E", "N", "D thr", "ee"]);
    let asked = |stop: &str| Ask { stop: vec![stop.to_owned()], ..drawing(1, 9) };
    let stopped = answer(&model, "?", asked("END")).await;
    assert_eq!((stopped.text.as_str(), stopped.end), ("one two ", End::Stop));
    assert_eq!(stopped.steps.len(), 5);
    let whole = answer(&model, "?", asked("ENT")).await;
    assert_eq!((whole.text.as_str(), whole.end), ("one two END three", End::Stop));
    assert_eq!(whole.steps.len(), 7);
}

#[tokio::test]
async fn text_comes_as_soon_as_it_is_certain() {
    let model = saying(&["one ", "ST", "AY"]);
    let tokens = model.text_tokens("?").unwrap();
    let ask = Ask { stop: vec!["STOP".to_owned()], ..drawing(1, 9) };
    let mut answer = model.answer(tokens, ask).await.unwrap();
    let mut pieces = Vec::new();
    while let Some(piece) = answer.next().await.unwrap() {
        pieces.push((piece.text, piece.end));
    }
    let expected = [("one ", None), ("", None), ("STAY", None), ("", Some(End::Stop))];
    assert_eq!(pieces, expected.map(|(text, end)| (text.to_owned(), end)));
}

#[tokio::test]
async fn an_answer_ends_where_the_context_does() {
    let model = random(1);
    let max_positions = model.config.max_positions;
    let mut ask = drawing(3, usize::MAX);
    // The stop token is never the likeliest one here.
    ask.sampling.temperature = 0.0;
    let full = model.answer(vec![1; max_positions], ask.clone()).await.unwrap();
    assert_eq!(full.finish().await.unwrap().steps.len(), 1);
    let refused = model.answer(vec![1; max_positions + 1], ask.clone()).await.err().unwrap();
    assert!(matches!(refused, AskError::Context { len: 129, max_positions: 128 }), "{refused}");
    assert!(matches!(model.answer(vec![], ask.clone()).await, Err(AskError::Empty)));
    let strange = model.answer(vec![999], ask).await.err().unwrap();
    assert_eq!(strange.to_string(), "token 999 is not in the vocabulary of 258 tokens");
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused() {
    let model = random(1);
    for (temperature, top_p, said) in [
        (-1.0, 1.0, "temperature is -1; it must be 0 or more"),
        (f64::NAN, 1.0, "temperature is NaN; it must be 0 or more"),
        (1.0, 0.0, "top_p is 0; it must be above 0 and at most 1"),
    ] {
        let sampling = Sampling { temperature, top_p, max_tokens: 1 };
        let error = model.answer(vec![1], Ask { sampling, ..Ask::default() }).await.err().unwrap();
        assert_eq!(error.to_string(), said);
    }
}
