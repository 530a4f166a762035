//! Which instruction set a kernel runs on, and the sums that vectorise.

use super::Real;

/// Partial sums of a reduction: as many as the widest vector holds, so that the compiler may use it and no order depends on it.
pub(super) const LANES: usize = 16;

/// An instruction set that the kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstructionSet {
    /// 512-bit vectors with fused multiply-add.
    Avx512,
    /// 256-bit vectors with fused multiply-add.
    Avx2,
    /// What every processor of the target has: NEON on aarch64, SSE2 on x86-64.
    Baseline,
}

#[cfg(test)]
thread_local! {
    /// What the kernels of this thread run on, in place of the best.
    pub(crate) static FORCED: std::cell::Cell<Option<InstructionSet>> = const { std::cell::Cell::new(None) };
}

/// The best instruction set of this processor. Results agree to the bit on one set, not between sets.
#[inline]
pub fn instruction_set() -> InstructionSet {
    #[cfg(test)]
    if let Some(set) = FORCED.get() {
        return set;
    }
    #[cfg(target_arch = "x86_64")]
    {
        // The macro keeps what it found, so this is a load and a branch.
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
            {
                return InstructionSet::Avx512;
            }
            return InstructionSet::Avx2;
        }
    }
    InstructionSet::Baseline
}

/// Compiles a function once for each instruction set and chooses at run time. Helpers that it calls in a loop must be
/// `#[inline(always)]`.
macro_rules! vectorised {
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$attribute])*
        $visibility fn $name($($argument: $type),*) $(-> $result)? {
            #[inline(always)]
            fn body($($argument: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512($($argument: $type),*) $(-> $result)? {
                body($($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($argument: $type),*) $(-> $result)? {
                body($($argument),*)
            }

            match $crate::kernels::instruction_set() {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the processor was asked for each of these features.
                $crate::kernels::InstructionSet::Avx512 => unsafe { avx512($($argument),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the processor was asked for each of these features.
                $crate::kernels::InstructionSet::Avx2 => unsafe { avx2($($argument),*) },
                _ => body($($argument),*),
            }
        }
    };
}

/// Σ a b.
#[inline(always)]
pub(super) fn dot(a: &[Real], b: &[Real]) -> Real {
    let mut lanes = [0.0; LANES];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            lanes[lane] = a[lane].mul_add(b[lane], lanes[lane]);
        }
    }
    for (lane, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
        lanes[lane] = a.mul_add(*b, lanes[lane]);
    }
    sum(lanes)
}

/// The largest value.
#[inline(always)]
pub(super) fn maximum(values: &[Real]) -> Real {
    let mut lanes = [Real::NEG_INFINITY; LANES];
    let (blocks, rest) = values.as_chunks::<LANES>();
    for block in blocks {
        for lane in 0..LANES {
            lanes[lane] = if block[lane] > lanes[lane] { block[lane] } else { lanes[lane] };
        }
    }
    rest.iter().chain(&lanes).fold(Real::NEG_INFINITY, |most, value| most.max(*value))
}

/// Replaces each x by e^(x scale - shift) and returns the sum of the results.
#[inline(always)]
pub(super) fn exp_and_sum(values: &mut [Real], scale: Real, shift: Real) -> Real {
    let mut lanes = [0.0; LANES];
    let (blocks, rest) = values.as_chunks_mut::<LANES>();
    for block in blocks {
        for lane in 0..LANES {
            block[lane] = super::exp(block[lane].mul_add(scale, -shift));
            lanes[lane] += block[lane];
        }
    }
    for (lane, value) in rest.iter_mut().enumerate() {
        *value = super::exp(value.mul_add(scale, -shift));
        lanes[lane] += *value;
    }
    sum(lanes)
}

/// y += a x.
#[inline(always)]
pub(super) fn add_scaled(y: &mut [Real], a: Real, x: &[Real]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = x.mul_add(a, *y);
    }
}

/// The lanes added in pairs, always in the same order.
#[inline(always)]
pub(super) fn sum(mut lanes: [Real; LANES]) -> Real {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}
