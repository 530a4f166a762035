//! A network that says known pieces of text one after another, whatever it is asked: what follows each token is written into its
//! weights.

use std::path::Path;

use lapwing_lab::Tokenizer;
use lapwing_lab::checkpoint::Model;
use lapwing_lab::nn::{Config, Network};
use serde_json::json;

/// A template that ends in the token behind which the first piece comes.
pub(crate) const TEMPLATE: &str = "{% for message in messages %}{{ message.role }}: {{ message.content or '' }}\n{% endfor %}\
                                   {% if tools %}{{ tools | tojson }}{% endif %}<|go|>";

/// A model that says `pieces`, each of which is a token and occurs once.
pub(crate) fn parrot(pieces: &[&str], chat_template: Option<&str>) -> Model {
    // Any text that is no token, the token of the template, the pieces, the end.
    let words: Vec<&str> = ["<|text|>", "<|go|>"]
        .into_iter()
        .chain(pieces.iter().copied())
        .chain(["<|end|>"])
        .collect();
    let vocab_size = words.len();
    let config = Config {
        vocab_size,
        hidden_size: vocab_size.next_multiple_of(2),
        n_layers: 1,
        n_heads: 1,
        n_kv_heads: 1,
        head_dim: vocab_size.next_multiple_of(2),
        intermediate_size: 4,
        max_positions: 64,
        tied_head: false,
        ..Config::small(vocab_size, 32, 1, 64)
    };
    let hidden = config.hidden_size;
    let mut network = Network::zeros(config).unwrap();
    for tensor in network.layout.tensors(&network.config) {
        let values = &mut network.weights[tensor.span.start..tensor.span.start + tensor.span.len];
        if tensor.name.ends_with("norm.weight") {
            values.fill(1.0);
        } else if tensor.name == "model.embed_tokens.weight" {
            (0..vocab_size).for_each(|token| values[token * hidden + token] = 1.0);
        } else if tensor.name == "lm_head.weight" {
            for token in 0..vocab_size - 1 {
                let next = if token == 0 { 2 } else { token + 1 };
                values[next * hidden + token] = 20.0;
            }
        }
    }
    let vocab: serde_json::Map<_, _> =
        words.iter().enumerate().map(|(id, word)| ((*word).to_owned(), json!(id))).collect();
    let special = |id: usize| {
        json!({
            "id": id, "content": words[id], "special": true, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false,
        })
    };
    let tokenizer = json!({
        "version": "1.0",
        "added_tokens": [special(1), special(vocab_size - 1)],
        "decoder": { "type": "Fuse" },
        "model": { "type": "WordLevel", "vocab": vocab, "unk_token": "<|text|>" },
    });
    Model {
        network,
        stops: vec![vocab_size as u32 - 1],
        tokenizer: Some(Tokenizer::parse(Path::new("parrot"), tokenizer.to_string()).unwrap()),
        chat_template: chat_template.map(str::to_owned),
    }
}
