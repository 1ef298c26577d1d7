use proptest::prelude::*;

use super::*;

fn sampling(change: impl FnOnce(&mut Sampling)) -> Sampling {
    let mut sampling = Sampling::default();
    change(&mut sampling);
    sampling.validate(1 << 17).expect("valid");
    sampling
}

fn draws(sampling: Sampling, prompt: &[u32], logits: &[f32], count: usize) -> Vec<u32> {
    let mut sampler = Sampler::new(sampling, prompt);
    (0..count).map(|_| sampler.sample(&mut logits.to_vec()).expect("possible").token).collect()
}

/// Which tokens ever come, in order of id.
fn reachable(sampling: Sampling, logits: &[f32]) -> Vec<u32> {
    let mut tokens = draws(sampling, &[], logits, 2000);
    tokens.sort_unstable();
    tokens.dedup();
    tokens
}

#[test]
fn greedy_takes_the_highest_and_of_equals_the_lowest_id() {
    let check = |logits: &[f32], expect: u32| assert_eq!(draws(Sampling::default(), &[], logits, 1), [expect]);
    check(&[1.0, 3.0, 2.0], 1);
    check(&[1.0, 3.0, 3.0], 1);
    check(&[f32::NEG_INFINITY, -5.0], 1);
    check(&[0.0, -0.0], 0);
}

#[test]
fn filters_keep_what_they_say() {
    // Probabilities 0.5, 0.25, 0.125, 0.125 in the order 1, 3, 0, 2.
    let logits: Vec<f32> = [0.125f32, 0.5, 0.125, 0.25].iter().map(|p| p.ln()).collect();
    let check = |change: fn(&mut Sampling), expect: &[u32]| {
        let sampling = sampling(|s| {
            s.temperature = 1.0;
            change(s);
        });
        assert_eq!(reachable(sampling.clone(), &logits), expect, "{sampling:?}");
    };
    check(|_| {}, &[0, 1, 2, 3]);
    check(|s| s.top_k = 1, &[1]);
    check(|s| s.top_k = 3, &[0, 1, 3]);
    check(|s| s.top_k = 100, &[0, 1, 2, 3]);
    check(|s| s.top_p = 0.0, &[1]);
    check(|s| s.top_p = 0.6, &[1, 3]);
    check(|s| s.top_p = 0.8, &[0, 1, 3]);
    check(|s| s.min_p = 0.4, &[1, 3]);
    check(|s| s.min_p = 1.0, &[1]);
    check(|s| (s.top_k, s.top_p) = (2, 0.6), &[1]);
}

#[test]
fn draws_follow_the_distribution_and_the_temperature() {
    let logits = [0.7f32.ln(), 0.3f32.ln()];
    let share = |temperature| {
        let tokens = draws(sampling(|s| s.temperature = temperature), &[], &logits, 20_000);
        tokens.iter().filter(|&&token| token == 0).count() as f64 / 20_000.0
    };
    assert!((share(1.0) - 0.7).abs() < 0.02);
    assert!((share(0.5) - 0.49 / 0.58).abs() < 0.02);
    assert!((share(100.0) - 0.5).abs() < 0.02);
}

#[test]
fn one_seed_gives_one_sequence() {
    let logits: Vec<f32> = (0..100).map(|i| (i % 7) as f32).collect();
    let with_seed = |seed| draws(sampling(|s| (s.temperature, s.seed) = (1.0, seed)), &[], &logits, 50);
    assert_eq!(with_seed(1), with_seed(1));
    assert_ne!(with_seed(1), with_seed(2));
}

#[test]
fn penalties_push_down_what_was_said() {
    let logits = [2.0, 1.9, -1.0];
    let check = |prompt: &[u32], change: fn(&mut Sampling), expect: &[u32]| {
        assert_eq!(draws(sampling(change), prompt, &logits, expect.len()), expect);
    };
    check(&[], |_| {}, &[0, 0, 0]);
    check(&[0], |s| s.repetition_penalty = 1.5, &[1, 0]);
    check(&[0], |s| s.presence_penalty = 1.0, &[0, 1, 0, 0]);
    check(&[], |s| s.frequency_penalty = 0.2, &[0, 1, 0, 1]);
    check(&[], |s| (s.presence_penalty, s.penalty_window) = (1.0, 1), &[0, 1, 0, 1]);
    check(&[0], |s| (s.repetition_penalty, s.penalty_window) = (9.0, 0), &[0, 0]);
}

#[test]
fn a_bias_bans_or_forces_a_token() {
    let logits = [2.0, 1.0, 0.0];
    let with_bias =
        |bias: &[(u32, f32)]| draws(sampling(|s| s.logit_bias = bias.iter().copied().collect()), &[], &logits, 1);
    assert_eq!(with_bias(&[(0, -100.0)]), [1]);
    assert_eq!(with_bias(&[(2, 100.0)]), [2]);
}

#[test]
fn logprobs_are_the_models_own() {
    let logits: Vec<f32> = [0.5f32, 0.25, 0.25].iter().map(|p| p.ln() + 3.0).collect();
    let sampling = sampling(|s| {
        s.logprobs = Some(2);
        s.logit_bias = [(2, 50.0)].into();
        s.repetition_penalty = 1.1;
    });
    let sampled = Sampler::new(sampling, &[2]).sample(&mut logits.clone()).expect("possible");
    let logprob = sampled.logprob.expect("asked for");
    assert_eq!((sampled.token, logprob.token), (2, 2));
    assert!((logprob.logprob - 0.25f32.ln()).abs() < 1e-4);
    assert_eq!(logprob.top.iter().map(|(token, _)| *token).collect::<Vec<_>>(), [0, 1]);
    assert!((logprob.top[0].1 - 0.5f32.ln()).abs() < 1e-5);
}

#[test]
fn broken_logits_are_an_error() {
    let check = |logits: &[f32], expect: &str| {
        for temperature in [0.0, 1.0] {
            let sampler = &mut Sampler::new(sampling(|s| s.temperature = temperature), &[]);
            let error = sampler.sample(&mut logits.to_vec()).expect_err("refused").to_string();
            assert!(error.contains(expect), "{error}");
        }
    };
    check(&[0.0, f32::NAN], "token 1 is NaN");
    check(&[f32::INFINITY, 0.0], "token 0 is inf");
    check(&[f32::NEG_INFINITY; 3], "none of the 3");
    check(&[], "none of the 0");
}

proptest! {
    #[test]
    fn top_p_equals_a_full_sort(
        logits in proptest::collection::vec((-40i32..40).prop_map(|x| x as f32 / 4.0), 1..700),
        top_p in 0.01f32..0.999,
    ) {
        let mut candidates: Vec<Candidate> =
            logits.iter().enumerate().map(|(token, &logit)| Candidate { token: token as u32, logit }).collect();
        let mut sorted = candidates.clone();
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weight = Weight { highest, temperature: 1.0 };
        let wanted = f64::from(top_p) * candidates.iter().map(|c| weight.of(c)).sum::<f64>();
        keep_top_p(&mut candidates, top_p, weight);
        sorted.sort_by(Candidate::order);
        let mut reached = 0.0;
        let end = sorted.iter().position(|c| { reached += weight.of(c); reached >= wanted });
        sorted.truncate(end.map_or(sorted.len(), |end| end + 1));
        prop_assert_eq!(candidates, sorted);
    }
}
