//! Which experts a token uses, and how much of each.

use crate::config::ExpertConfig;

/// The rows that one expert computes, with the weight of its answer for each.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ExpertRows {
    pub(super) rows: Vec<usize>,
    pub(super) weights: Vec<f32>,
}

/// Shares rows out to experts; `scores` has one row of `experts.count` for each. The result has an entry for each expert.
///
/// A row goes to the experts with its largest scores (the first of equals), whatever the other rows are.
pub(super) fn route(scores: &[f32], experts: &ExpertConfig) -> Vec<ExpertRows> {
    let mut routes: Vec<ExpertRows> = (0..experts.count).map(|_| ExpertRows::default()).collect();
    for (row, scores) in scores.chunks_exact(experts.count).enumerate() {
        for (expert, weight) in choose(scores, experts) {
            routes[expert].rows.push(row);
            routes[expert].weights.push(weight);
        }
    }
    routes
}

/// The experts of one row: a softmax over all scores, or where weights are normalised over those of the chosen, which is
/// the same as dividing by their sum.
fn choose(scores: &[f32], experts: &ExpertConfig) -> Vec<(usize, f32)> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&left, &right| scores[right].total_cmp(&scores[left]).then(left.cmp(&right)));
    let chosen = &order[..experts.used.min(order.len())];
    let largest = chosen.first().map_or(0.0, |&expert| scores[expert]);
    let share = |expert: usize| (scores[expert] - largest).exp();
    let counted = if experts.normalised { chosen } else { &order[..] };
    let total: f32 = counted.iter().map(|&expert| share(expert)).sum();
    chosen.iter().map(|&expert| (expert, experts.scale * share(expert) / total)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPERTS: ExpertConfig = ExpertConfig { count: 4, used: 2, normalised: true, scale: 1.0 };

    #[track_caller]
    fn check(experts: ExpertConfig, scores: [f32; 4], expect: [(usize, f32); 2]) {
        let found = choose(&scores, &experts);
        assert_eq!(found.len(), 2);
        for ((expert, weight), (wanted, exact)) in found.into_iter().zip(expect) {
            assert!(expert == wanted && (weight - exact).abs() < 1e-6, "{expert}: {weight}, not {wanted}: {exact}");
        }
    }

    #[test]
    fn the_largest_scores_win_and_weights_are_their_softmax() {
        let e = std::f32::consts::E;
        check(EXPERTS, [0.0, 1.0, -3.0, 2.0], [(3, e / (e + 1.0)), (1, 1.0 / (e + 1.0))]);
        check(EXPERTS, [5.0; 4], [(0, 0.5), (1, 0.5)]);
        check(ExpertConfig { normalised: false, ..EXPERTS }, [5.0; 4], [(0, 0.25), (1, 0.25)]);
        check(ExpertConfig { scale: 2.5, ..EXPERTS }, [1e30, 0.0, 1e30, 0.0], [(0, 1.25), (2, 1.25)]);
    }

    #[test]
    fn rows_go_to_their_experts_in_order() {
        let scores = [9.0, 8.0, 0.0, 0.0, 0.0, 8.0, 9.0, 0.0];
        let rows: Vec<_> = route(&scores, &EXPERTS).into_iter().map(|expert| expert.rows).collect();
        assert_eq!(rows, [vec![0], vec![0, 1], vec![1], vec![]]);
    }
}
