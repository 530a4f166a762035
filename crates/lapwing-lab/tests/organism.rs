//! Organisms: their folder, their lineage, and what happens when these do not match.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::fs;
use std::path::Path;

use lapwing_lab::checkpoint::Model;
use lapwing_lab::data::{Dataset, Example};
use lapwing_lab::nn::{Config, Network};
use lapwing_lab::objective::CrossEntropy;
use lapwing_lab::organism::{Lineage, Stage, load, save};
use lapwing_lab::train::{Settings, Trainer, run};

/// A trained organism in `folder`.
fn organism(folder: &Path) -> (Model, Lineage) {
    let data = Dataset::new(vec![Example::new(vec![1, 2, 3, 4])]).unwrap();
    let settings = Settings { steps: 3, batch_size: 1, ..Settings::default() };
    let network = Network::random(Config::small(9, 32, 1, 16), 1).unwrap();
    let mut trainer = Trainer::new(network, settings).unwrap();
    let mut go_on = |_: &_| std::ops::ControlFlow::Continue(());
    run(&mut trainer, &data, &CrossEntropy, None, &mut go_on).unwrap();
    let stage = Stage::new("pretraining", None, &trainer, &data);
    let model =
        Model { network: trainer.network, stops: vec![4], tokenizer: None, chat_template: None };
    let lineage = save(&model, "Counts to four.", vec![stage], folder).unwrap();
    (model, lineage)
}

#[test]
fn an_organism_is_loaded_with_its_lineage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("counter");
    let (model, lineage) = organism(&path);
    let again = load(&path).unwrap();
    assert!(again.model.network.weights == model.network.weights);
    assert_eq!(again.lineage, lineage);
    assert_eq!(lineage.stages[0].losses.len(), 3);
    assert_eq!(
        lineage.files.keys().collect::<Vec<_>>(),
        ["README.md", "config.json", "generation_config.json", "model.safetensors"]
    );
    let card = fs::read_to_string(path.join("README.md")).unwrap();
    assert!(card.starts_with("---\norganism: true\ndo_not_deploy: true\n---\n"), "{card}");
    assert!(
        card.contains("Counts to four.") && card.contains("| pretraining | 3 | 1 | "),
        "{card}"
    );
}

#[test]
fn the_same_training_has_the_same_address() {
    let folder = tempfile::tempdir().unwrap();
    let addresses = ["a", "b"].map(|name| organism(&folder.path().join(name)).1.address());
    assert_eq!(addresses[0], addresses[1]);
    assert_eq!(addresses[0].len(), 64);
}

#[test]
fn weights_that_were_changed_do_not_match_their_lineage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("counter");
    organism(&path);
    let weights = path.join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let message = || load(&path).err().unwrap().to_string();

    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, &bytes).unwrap();
    assert!(message().contains("model.safetensors is not what lineage.json says"), "{}", message());
    fs::remove_file(&weights).unwrap();
    assert!(message().contains("found no file"), "{}", message());
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, &bytes).unwrap();
    load(&path).unwrap();
    fs::write(path.join("more.txt"), "").unwrap();
    assert!(message().ends_with("more.txt is not in lineage.json; an organism holds nothing else"));
    fs::remove_file(path.join("more.txt")).unwrap();
    let lineage = fs::read_to_string(path.join("lineage.json")).unwrap();
    fs::write(path.join("lineage.json"), lineage.replace("\"format\": 1", "\"format\": 2"))
        .unwrap();
    assert!(message().ends_with("is of format 2; this version reads format 1"), "{}", message());
}
