//! Low-rank adapters (Hu et al. 2021): y = x (W + s B A)ᵀ with W frozen and s = alpha / rank.

use super::kernels::{Matrix, MatrixMut, Store, multiply, multiply_scaled};
use super::{Config, Network, Random, Real, Span};

/// A projection that an adapter can sit on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Projection {
    /// Queries.
    Q,
    /// Keys.
    K,
    /// Values.
    V,
    /// From heads to the residual stream.
    O,
    /// The MLP's gate.
    Gate,
    /// The MLP's other input.
    Up,
    /// The MLP's output.
    Down,
}

/// The matrix that projections were merged into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Merged {
    Qkv,
    O,
    GateUp,
    Down,
}

impl Projection {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Q, Self::K, Self::V, Self::O, Self::Gate, Self::Up, Self::Down];

    /// The module's name in a Hugging Face model.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q => "q_proj",
            Self::K => "k_proj",
            Self::V => "v_proj",
            Self::O => "o_proj",
            Self::Gate => "gate_proj",
            Self::Up => "up_proj",
            Self::Down => "down_proj",
        }
    }

    /// The block that the module belongs to.
    pub fn block(self) -> &'static str {
        match self {
            Self::Q | Self::K | Self::V | Self::O => "self_attn",
            Self::Gate | Self::Up | Self::Down => "mlp",
        }
    }

    /// The merged matrix, the first of its outputs that is this projection's, outputs, inputs.
    fn place(self, config: &Config) -> (Merged, usize, usize, usize) {
        let (hidden, ff, heads) = (config.hidden_size, config.intermediate_size, config.heads());
        let (q, kv) = (heads.q_width(), heads.kv_width());
        match self {
            Self::Q => (Merged::Qkv, 0, q, hidden),
            Self::K => (Merged::Qkv, q, kv, hidden),
            Self::V => (Merged::Qkv, q + kv, kv, hidden),
            Self::O => (Merged::O, 0, hidden, q),
            Self::Gate => (Merged::GateUp, 0, ff, hidden),
            Self::Up => (Merged::GateUp, ff, ff, hidden),
            Self::Down => (Merged::Down, 0, hidden, ff),
        }
    }
}

/// The adapter of one projection in one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adapter {
    /// The layer.
    pub layer: usize,
    /// The projection.
    pub projection: Projection,
    /// A `[rank, in]`.
    pub a: Span,
    /// B `[out, rank]`.
    pub b: Span,
    /// Inputs of the projection.
    pub n_in: usize,
    /// Outputs of the projection.
    pub n_out: usize,
    merged: Merged,
    first: usize,
}

/// The adapters of a network, in one buffer.
#[derive(Clone, Debug)]
pub struct Lora {
    /// Rank of each adapter.
    pub rank: usize,
    /// The scale is this over the rank.
    pub alpha: f64,
    /// Where each adapter lies in `weights`.
    pub adapters: Vec<Adapter>,
    /// All A and B.
    pub weights: Vec<Real>,
}

/// Adapters that no network can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoraError {
    /// No rank.
    #[error("the rank of an adapter must be at least 1")]
    Rank,
    /// Nothing to adapt.
    #[error(
        "no projection was named; choose among q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj"
    )]
    NoProjection,
}

impl Lora {
    /// Adapters on the given projections of every layer: A is drawn uniformly with PyTorch's bound 1 / √in, B is zero, so that the
    /// network begins as it is.
    pub fn new(
        config: &Config,
        rank: usize,
        alpha: f64,
        projections: &[Projection],
        seed: u64,
    ) -> Result<Self, LoraError> {
        if rank == 0 {
            return Err(LoraError::Rank);
        }
        if projections.is_empty() {
            return Err(LoraError::NoProjection);
        }
        let mut len = 0;
        let mut take = |size: usize| {
            len += size;
            Span { start: len - size, len: size }
        };
        let mut adapters = Vec::new();
        for layer in 0..config.n_layers {
            for projection in Projection::ALL.into_iter().filter(|p| projections.contains(p)) {
                let (merged, first, n_out, n_in) = projection.place(config);
                let (a, b) = (take(rank * n_in), take(n_out * rank));
                adapters.push(Adapter { layer, projection, a, b, n_in, n_out, merged, first });
            }
        }
        let mut random = Random::new(seed, "lora");
        let mut weights = vec![0.0; len];
        for adapter in &adapters {
            let bound = 1.0 / (adapter.n_in as f64).sqrt();
            for weight in adapter.a.of_mut(&mut weights) {
                *weight = ((random.uniform() * 2.0 - 1.0) * bound) as Real;
            }
        }
        Ok(Self { rank, alpha, adapters, weights })
    }

    fn scale(&self) -> Real {
        (self.alpha / self.rank as f64) as Real
    }

    fn on(&self, layer: usize, merged: Merged) -> impl Iterator<Item = &Adapter> {
        self.adapters.iter().filter(move |one| one.layer == layer && one.merged == merged)
    }
}

/// One merged projection of a network, with its adapters.
pub(super) struct Linear<'a> {
    lora: Option<&'a Lora>,
    layer: usize,
    merged: Merged,
    span: Span,
    weight: &'a [Real],
    n_in: usize,
    n_out: usize,
}

impl Network {
    /// The merged projection of a layer.
    pub(super) fn linear(&self, layer: usize, merged: Merged) -> Linear<'_> {
        let spans = &self.layout.layers[layer];
        let (span, n_in) = match merged {
            Merged::Qkv => (spans.qkv, self.config.hidden_size),
            Merged::O => (spans.o, self.config.heads().q_width()),
            Merged::GateUp => (spans.gate_up, self.config.hidden_size),
            Merged::Down => (spans.down, self.config.intermediate_size),
        };
        let weight = span.of(&self.weights);
        Linear {
            lora: self.lora.as_ref(),
            layer,
            merged,
            span,
            weight,
            n_in,
            n_out: span.len / n_in,
        }
    }
}

impl Linear<'_> {
    fn adapters(&self) -> impl Iterator<Item = (&Lora, &Adapter)> {
        let all = self.lora.into_iter();
        all.flat_map(|lora| lora.on(self.layer, self.merged).map(move |adapter| (lora, adapter)))
    }

    /// y `[rows, out]` = or += x `[rows, in]` (W + s B A)ᵀ.
    pub(super) fn forward(&self, y: &mut [Real], store: Store, x: &[Real]) {
        let input = Matrix::new(x, self.n_in);
        multiply(
            MatrixMut::new(y, self.n_out),
            store,
            input,
            Matrix::new(self.weight, self.n_in).t(),
        );
        for (lora, adapter) in self.adapters() {
            let low = low(input, lora, adapter);
            let y =
                MatrixMut::new(y, self.n_out).columns(adapter.first..adapter.first + adapter.n_out);
            let b = Matrix::new(adapter.b.of(&lora.weights), lora.rank);
            multiply_scaled(y, Store::Add, lora.scale(), Matrix::new(&low, lora.rank), b.t());
        }
    }

    /// dx `[rows, in]` = dy `[rows, out]` (W + s B A).
    pub(super) fn input_gradient(&self, dx: &mut [Real], dy: &[Real]) {
        let d_out = Matrix::new(dy, self.n_out);
        multiply(
            MatrixMut::new(dx, self.n_in),
            Store::Write,
            d_out,
            Matrix::new(self.weight, self.n_in),
        );
        for (lora, adapter) in self.adapters() {
            let d_low = d_low(d_out, lora, adapter);
            let a = Matrix::new(adapter.a.of(&lora.weights), self.n_in);
            multiply(MatrixMut::new(dx, self.n_in), Store::Add, Matrix::new(&d_low, lora.rank), a);
        }
    }

    /// Adds to the gradients of what is trained: dW += dyᵀ x, or with adapters dB += s dyᵀ (x Aᵀ) and dA += (s dy B)ᵀ x.
    pub(super) fn weight_gradient(&self, gradients: &mut [Real], dy: &[Real], x: &[Real]) {
        let (d_out, input) = (Matrix::new(dy, self.n_out), Matrix::new(x, self.n_in));
        if self.lora.is_none() {
            let d_weight = MatrixMut::new(self.span.of_mut(gradients), self.n_in);
            multiply(d_weight, Store::Add, d_out.t(), input);
        }
        for (lora, adapter) in self.adapters() {
            let (low, d_low) = (low(input, lora, adapter), d_low(d_out, lora, adapter));
            let dy = d_out.columns(adapter.first..adapter.first + adapter.n_out);
            let d_b = MatrixMut::new(adapter.b.of_mut(gradients), lora.rank);
            multiply_scaled(d_b, Store::Add, lora.scale(), dy.t(), Matrix::new(&low, lora.rank));
            let d_a = MatrixMut::new(adapter.a.of_mut(gradients), self.n_in);
            multiply(d_a, Store::Add, Matrix::new(&d_low, lora.rank).t(), input);
        }
    }

    /// W + s B A `[out, in]`.
    pub(super) fn merged(&self) -> Vec<Real> {
        let mut weight = self.weight.to_vec();
        for (lora, adapter) in self.adapters() {
            let rows = MatrixMut::new(&mut weight, self.n_in)
                .rows(adapter.first..adapter.first + adapter.n_out);
            let b = Matrix::new(adapter.b.of(&lora.weights), lora.rank);
            let a = Matrix::new(adapter.a.of(&lora.weights), self.n_in);
            multiply_scaled(rows, Store::Add, lora.scale(), b, a);
        }
        weight
    }

    /// Inputs.
    pub(super) fn n_in(&self) -> usize {
        self.n_in
    }

    /// Where the frozen weight lies.
    pub(super) fn span(&self) -> Span {
        self.span
    }
}

/// x Aᵀ `[rows, rank]`.
fn low(x: Matrix<'_>, lora: &Lora, adapter: &Adapter) -> Vec<Real> {
    let mut low = vec![0.0; x.n_rows() * lora.rank];
    let a = Matrix::new(adapter.a.of(&lora.weights), adapter.n_in);
    multiply(MatrixMut::new(&mut low, lora.rank), Store::Write, x, a.t());
    low
}

/// s dy B `[rows, rank]`.
fn d_low(dy: Matrix<'_>, lora: &Lora, adapter: &Adapter) -> Vec<Real> {
    let mut d_low = vec![0.0; dy.n_rows() * lora.rank];
    let dy = dy.columns(adapter.first..adapter.first + adapter.n_out);
    let b = Matrix::new(adapter.b.of(&lora.weights), lora.rank);
    multiply_scaled(MatrixMut::new(&mut d_low, lora.rank), Store::Write, lora.scale(), dy, b);
    d_low
}
