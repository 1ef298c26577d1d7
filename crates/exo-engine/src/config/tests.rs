use super::*;

fn rope(scaling: RopeScaling) -> RopeConfig {
    RopeConfig { layout: RopeLayout::Halves, dimensions: 64, base: 10_000.0, scaling, magnitude: 1.0 }
}

/// By how much the scaling divides the frequency of each pair.
fn divisors(scaling: RopeScaling) -> Vec<f64> {
    let plain = rope(RopeScaling::Linear { factor: 1.0 }).frequencies(None);
    rope(scaling).frequencies(None).iter().zip(plain).map(|(scaled, plain)| plain / scaled).collect()
}

#[test]
fn plain_frequencies_fall_from_one_by_the_base() {
    let frequencies = rope(RopeScaling::Linear { factor: 1.0 }).frequencies(None);
    assert_eq!((frequencies.len(), frequencies[0]), (32, 1.0));
    assert!((frequencies[16] - 0.01).abs() < 1e-15);
    let halved = rope(RopeScaling::Linear { factor: 2.0 }).frequencies(Some(&[4.0; 32]));
    assert!((halved[16] - 0.01 / 8.0).abs() < 1e-15);
}

#[test]
fn yarn_leaves_fast_pairs_and_divides_slow_ones() {
    let yarn = |whole_pairs| {
        let scaling =
            RopeScaling::Yarn { factor: 4.0, original_context: 4096, beta_fast: 32.0, beta_slow: 1.0, whole_pairs };
        divisors(scaling)
    };
    // Pair 10.44 turns 32 times over 4096 positions, pair 22.51 once.
    let (whole, real) = (yarn(true), yarn(false));
    assert!(whole[..=10].iter().chain(&real[..=10]).all(|&by| (by - 1.0).abs() < 1e-12));
    assert!(whole[23..].iter().chain(&real[23..]).all(|&by| (by - 4.0).abs() < 1e-12));
    // Half way between 10 and 23 lies 16.5.
    let kept = 1.0 - 6.0 / 13.0;
    assert!((whole[16] - 1.0 / (kept + (1.0 - kept) / 4.0)).abs() < 1e-12);
    assert!(real[16] < whole[16] && real[16] > 1.0);
}

#[test]
fn llama3_scales_by_wavelength() {
    let scaling = RopeScaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original_context: 8192 };
    let divisors = divisors(scaling);
    for (pair, by) in divisors.into_iter().enumerate() {
        let turns = 8192.0 * 10_000f64.powf(-(pair as f64) / 32.0) / std::f64::consts::TAU;
        let expected = match turns {
            _ if turns >= 4.0 => 1.0,
            _ if turns <= 1.0 => 8.0,
            _ => 1.0 / ((turns - 1.0) / 3.0 * (1.0 - 1.0 / 8.0) + 1.0 / 8.0),
        };
        assert!((by - expected).abs() < 1e-9, "pair {pair}: {by}, not {expected}");
    }
}
