//! Whether chance alone would give such a difference: a sign-flip permutation test of paired scores.
//!
//! If it made no difference which run an example's two scores come from, then each difference could as well have the other
//! sign. The p-value is the share of all such flips whose mean is at least as far from 0 as the one that was seen. That holds for
//! scores of any kind, 0 and 1 as well as fractions; for scores of two values it is McNemar's exact test. Few differences are
//! flipped in every way, more of them at random from a fixed seed, and very many are taken as a normal distribution.

/// Up to so many differences every flip is tried: 65,536 at the most.
const EXACT_MAX: usize = 16;
/// Up to so many differences flips are drawn; beyond them the normal distribution is as near.
const DRAWN_MAX: usize = 1000;
const DRAWS: u32 = 9999;
const SEED: u64 = 1;

/// What the test gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// Which one it was, and how it was computed.
    pub name: String,
    /// Two-sided.
    pub p_value: f64,
    /// Mean of the differences, those that are 0 included.
    pub difference: f64,
}

/// Tests differences of pairs, all of them numbers; `None` where there are none.
pub fn sign_flip(differences: &[f64]) -> Option<Test> {
    if differences.is_empty() {
        return None;
    }
    let sum: f64 = differences.iter().sum();
    // A difference of 0 stays what it is under a flip.
    let sizes: Vec<f64> = differences.iter().map(|difference| difference.abs()).filter(|size| *size > 0.0).collect();
    let (how, p_value) = match sizes.len() {
        count if count <= EXACT_MAX => ("exact".to_owned(), exact(&sizes, sum)),
        ..=DRAWN_MAX => (format!("{DRAWS} random flips, seed {SEED}"), drawn(&sizes, sum)),
        _ => ("normal approximation".to_owned(), normal(&sizes, sum)),
    };
    Some(Test {
        name: format!("sign-flip permutation test, {how}"),
        p_value,
        difference: sum / differences.len() as f64,
    })
}

/// Sums that differ by rounding only are as far from 0.
fn reaches(sizes: &[f64], sum: f64) -> impl Fn(f64) -> bool + use<> {
    let least = sum.abs() - 1e-9 * sizes.iter().sum::<f64>();
    move |flipped| flipped.abs() >= least
}

fn exact(sizes: &[f64], sum: f64) -> f64 {
    let reaches = reaches(sizes, sum);
    let flips = 1_u64 << sizes.len();
    let far = (0..flips).filter(|signs| reaches(flipped(sizes, || *signs))).count();
    far as f64 / flips as f64
}

/// The flip that was seen counts as one of those drawn, so that no p-value is 0.
fn drawn(sizes: &[f64], sum: f64) -> f64 {
    let reaches = reaches(sizes, sum);
    let mut random = Random(SEED);
    let far = (0..DRAWS).filter(|_| reaches(flipped(sizes, || random.next()))).count();
    (far + 1) as f64 / f64::from(DRAWS + 1)
}

/// Under random signs the sum has the mean 0 and the sum of squares as its variance.
fn normal(sizes: &[f64], sum: f64) -> f64 {
    let variance: f64 = sizes.iter().map(|size| size * size).sum();
    complementary_error(sum.abs() / (2.0 * variance).sqrt())
}

/// The sum with signs by bits, 64 of which come at once.
fn flipped(sizes: &[f64], mut signs: impl FnMut() -> u64) -> f64 {
    let mut sum = 0.0;
    for chunk in sizes.chunks(64) {
        let signs = signs();
        for (bit, size) in chunk.iter().enumerate() {
            sum += if signs >> bit & 1 == 1 { *size } else { -size };
        }
    }
    sum
}

/// splitmix64: the same numbers on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

/// erfc for `x` of 0 and more, to seven digits (Abramowitz and Stegun, 7.1.28).
fn complementary_error(x: f64) -> f64 {
    const COEFFICIENTS: [f64; 6] =
        [0.070_523_078_4, 0.042_282_012_3, 0.009_270_527_2, 0.000_152_014_3, 0.000_276_567_2, 0.000_043_063_8];
    let sum = COEFFICIENTS.iter().rev().fold(0.0, |sum, coefficient| (sum + coefficient) * x);
    (1.0 + sum).powi(-16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(differences: &[f64]) -> f64 {
        sign_flip(differences).expect("differences").p_value
    }

    #[test]
    fn few_differences_are_tested_exactly() {
        // All on one side: two of all flips are as far from 0.
        assert_eq!(p(&[1.0; 5]), 2.0 / 32.0);
        // Ones of 8 differences, 7 for and 1 against: as McNemar's exact test, 2 * (1 + 8) / 256.
        assert_eq!(p(&[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, -1.0]), 18.0 / 256.0);
        assert_eq!(p(&[3.0, -1.0]), 1.0 / 2.0 + 1.0 / 2.0, "4 and 2 are both at least as far as 2");
        assert_eq!(p(&[0.3, 0.1, 0.2]), 2.0 / 8.0, "sums are compared but for rounding");
    }

    #[test]
    fn differences_of_nothing_prove_nothing_and_dilute_the_mean() {
        assert_eq!(sign_flip(&[]), None);
        let none = sign_flip(&[0.0; 40]).expect("a test");
        assert_eq!((none.p_value, none.difference), (1.0, 0.0));
        let diluted = sign_flip(&[1.0, 1.0, 0.0, 0.0]).expect("a test");
        assert_eq!((diluted.p_value, diluted.difference), (p(&[1.0, 1.0]), 0.5));
    }

    #[test]
    fn the_other_order_of_the_runs_has_the_same_p_value() {
        let differences: Vec<f64> = (0..40).map(|index| f64::from(index % 7) - 2.0).collect();
        let turned: Vec<f64> = differences.iter().map(|difference| -difference).collect();
        assert_eq!(p(&differences), p(&turned));
        assert_eq!(p(&differences), p(&differences), "and the same again");
    }

    /// Some for, the others against, each of size 1.
    fn ones(for_it: usize, against: usize) -> Vec<f64> {
        [vec![1.0; for_it], vec![-1.0; against]].concat()
    }

    #[test]
    fn drawn_flips_come_near_what_is_exact() {
        // 15 of 20 heads or more, either way: 0.04139 by the binomial distribution.
        let test = sign_flip(&ones(15, 5)).expect("a test");
        assert!(test.name.contains("random flips, seed 1"), "{}", test.name);
        assert!((test.p_value - 0.0414).abs() < 0.006, "{}", test.p_value);
        assert_eq!(p(&ones(200, 0)), 1.0 / 10_000.0, "never 0");
    }

    #[test]
    fn very_many_differences_are_taken_as_normal() {
        // 1,062 of 2,000: z = 124 / sqrt(2000) = 2.7727, two-sided 0.00556.
        let test = sign_flip(&ones(1062, 938)).expect("a test");
        assert!(test.name.ends_with("normal approximation"), "{}", test.name);
        assert!((test.p_value - 0.005_56).abs() < 0.000_02, "{}", test.p_value);
        // Both ways of computing agree where one takes over from the other.
        let (drawn, normal) = (p(&ones(525, 475)), p(&ones(526, 476)));
        assert!((drawn - normal).abs() < 0.02, "{drawn} {normal}");
    }

    #[test]
    fn the_error_function_is_that_of_the_tables() {
        for (x, expected) in [(0.0, 1.0), (0.5, 0.479_500_1), (1.0, 0.157_299_2), (2.0, 0.004_677_7)] {
            assert!((complementary_error(x) - expected).abs() < 4e-7, "{x}: {}", complementary_error(x));
        }
    }
}
