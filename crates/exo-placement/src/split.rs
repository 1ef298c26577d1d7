//! How many layers each rank gets.

/// Shares out `n_layers` over ranks in proportion to `speeds`, at least one and at most `room` each.
///
/// None if they do not fit. Layers are given one at a time to the rank that would finish its share first, so that the
/// slowest stage is as fast as it can be.
pub(crate) fn split(n_layers: u32, room: &[u32], speeds: &[u32]) -> Option<Vec<u32>> {
    let all_room: u64 = room.iter().map(|layers| u64::from(*layers)).sum();
    let ranks = room.len() as u64;
    if room.contains(&0) || all_room < u64::from(n_layers) || u64::from(n_layers) < ranks {
        return None;
    }
    let mut layers = vec![1; room.len()];
    for _ in ranks..u64::from(n_layers) {
        let with_room = (0..room.len()).filter(|rank| layers[*rank] < room[*rank]);
        // (layers + 1) / speed, compared without division; the earlier rank wins ties.
        let time = |rank: usize| (u64::from(layers[rank]) + 1, u64::from(speeds[rank].max(1)));
        let next = with_room.min_by(|a, b| {
            let ((layers_a, speed_a), (layers_b, speed_b)) = (time(*a), time(*b));
            (layers_a * speed_b).cmp(&(layers_b * speed_a))
        })?;
        layers[next] += 1;
    }
    Some(layers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_follow_speed_within_room() {
        for (n_layers, room, speeds, expect) in [
            (6, &[6, 6][..], &[1, 1][..], Some(vec![3, 3])),
            (6, &[6, 6], &[2, 1], Some(vec![4, 2])),
            (6, &[2, 6], &[9, 1], Some(vec![2, 4])),
            (7, &[7, 7, 7], &[1, 1, 1], Some(vec![3, 2, 2])),
            (3, &[9, 9, 9], &[100, 1, 1], Some(vec![1, 1, 1])),
            (1, &[1], &[1], Some(vec![1])),
            (2, &[9, 9, 9], &[1, 1, 1], None),
            (6, &[3, 2], &[1, 1], None),
            (6, &[9, 0], &[1, 1], None),
        ] {
            assert_eq!(split(n_layers, room, speeds), expect, "{n_layers} over {room:?} at {speeds:?}");
        }
    }
}
