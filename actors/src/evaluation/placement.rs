//! On which node a run's next worker is started: decided here, over plain data.

use dspex_model::NodeId;

/// A node that could have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Site {
    pub node: NodeId,
    /// The run's owner itself: no way is shorter.
    pub is_own: bool,
    pub cpus: u32,
    /// Workers that it may have beyond those that it has.
    pub room: u32,
    /// Workers of others that it has.
    pub others: u32,
    /// Workers of this run that it has.
    pub held: u32,
    /// It takes nothing new.
    pub drains: bool,
}

/// Those that take workers: none that drains. A run that could be nowhere else goes on at its owner all the same, and one that starves
/// at any node that could execute it.
pub(crate) fn taking(sites: Vec<Site>, is_starved: bool) -> Vec<Site> {
    let is_elsewhere = sites.iter().any(|site| !site.drains);
    sites.into_iter().filter(|site| !site.drains || (!is_elsewhere && (site.is_own || is_starved))).collect()
}

/// Where a CPU has least to do; the owner where that is equal. `None`: nobody has room.
pub(crate) fn choose(sites: &[Site]) -> Option<NodeId> {
    let open = sites.iter().filter(|site| site.room > 0);
    let best = open.min_by_key(|site| (load(site.held + 1, site), !site.is_own, load(site.others, site), site.node));
    best.map(|site| site.node)
}

/// From which node to which one a worker may move, so that the run is spread better: the one has more to do for a CPU than the
/// other would have with one worker more.
pub(crate) fn better(sites: &[Site]) -> Option<(NodeId, NodeId)> {
    let to = sites.iter().filter(|site| site.room > 0).min_by_key(|site| (load(site.held + 1, site), site.node))?;
    let from = sites.iter().filter(|site| site.held > 0).max_by_key(|site| (load(site.held, site), site.node))?;
    (load(from.held, from) > load(to.held + 1, to)).then_some((from.node, to.node))
}

/// Workers of a run that a node takes beyond those it has of it. One that is full lets runs give way to each other, so a run asks it
/// for up to half of what there is: what it has with one other run there. Never for more than one run may have: those would wait
/// there while others have room.
pub(crate) fn room(workers_max: u32, of_one_run_max: u32, workers: u32, held: u32) -> u32 {
    let free = workers_max.saturating_sub(workers);
    let room = if free > 0 { free } else { (workers_max / 2).saturating_sub(held).min(1) };
    room.min(of_one_run_max.saturating_sub(held))
}

/// Workers for a CPU, in millionths.
fn load(count: u32, site: &Site) -> u64 {
    u64::from(count) * 1_000_000 / u64::from(site.cpus.max(1))
}

/// Workers that a run gets where nobody says how many: one a CPU of the nodes that may execute it.
pub(crate) fn workers(cpus: impl IntoIterator<Item = u32>, num_threads: u32) -> u32 {
    let cpus: u32 = cpus.into_iter().fold(0, u32::saturating_add);
    cpus.clamp(1, num_threads.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(node: u64, cpus: u32, room: u32) -> Site {
        Site { node: NodeId(node), is_own: node == 2, cpus, room, others: 0, held: 0, drains: false }
    }

    /// As many workers as asked for, one after the other.
    fn place(mut sites: Vec<Site>, count: usize) -> Vec<u64> {
        let mut placed = Vec::new();
        for _ in 0..count {
            let Some(node) = choose(&sites) else { break };
            let chosen = sites.iter_mut().find(|site| site.node == node).expect("one of them");
            chosen.held += 1;
            chosen.room -= 1;
            placed.push(node.0);
        }
        placed
    }

    #[test]
    fn workers_are_spread_by_cpus_and_the_owner_has_the_first() {
        assert_eq!(place(vec![site(1, 2, 64), site(2, 2, 64), site(3, 2, 64)], 6), [2, 1, 3, 2, 1, 3]);
        assert_eq!(place(vec![site(1, 8, 64), site(2, 2, 64)], 5), [1, 1, 1, 2, 1]);
    }

    #[test]
    fn a_node_without_room_gets_none_and_without_any_nobody_does() {
        assert_eq!(place(vec![site(1, 8, 1), site(2, 2, 2)], 9), [1, 2, 2]);
        assert_eq!(choose(&[]), None);
    }

    #[test]
    fn a_full_node_is_asked_for_what_it_would_share() {
        let room = |workers_max, workers, held| room(workers_max, workers_max, workers, held);
        assert_eq!((room(64, 60, 2), room(64, 64, 2), room(64, 70, 31)), (4, 1, 1));
        assert_eq!((room(64, 64, 32), room(64, 64, 64), room(1, 1, 0), room(0, 0, 0)), (0, 0, 0, 0));
    }

    #[test]
    fn a_node_is_asked_for_no_more_than_one_run_may_have_however_many_cpus_it_has() {
        assert_eq!((room(64, 2, 0, 0), room(64, 2, 9, 1), room(64, 2, 9, 2), room(64, 2, 64, 3)), (2, 1, 0, 0));
        let sites = [(1, 8), (2, 2), (3, 2)].map(|(node, cpus)| site(node, cpus, room(64, 2, 0, 0)));
        let mut placed = place(sites.to_vec(), 6);
        placed.sort_unstable();
        assert_eq!(placed, [1, 1, 2, 2, 3, 3]);
    }

    #[test]
    fn of_equal_nodes_the_one_with_fewer_workers_of_others_is_chosen() {
        let busy = Site { others: 3, ..site(1, 2, 64) };
        assert_eq!(choose(&[busy, site(3, 2, 64)]), Some(NodeId(3)));
    }

    #[test]
    fn a_worker_moves_to_a_node_that_came_back_until_no_move_makes_it_better() {
        let with = |node, held| Site { held, ..site(node, 2, 64 - held) };
        let mut sites = vec![with(1, 3), with(2, 3), with(3, 0)];
        let mut moves = Vec::new();
        while let Some((from, to)) = better(&sites) {
            for site in &mut sites {
                site.held = site.held + u32::from(site.node == to) - u32::from(site.node == from);
            }
            moves.push((from.0, to.0));
        }
        assert_eq!(moves, [(2, 3), (1, 3)]);
        assert_eq!(better(&[with(1, 2), with(2, 1)]), None, "it would only change sides");
        assert_eq!(better(&[with(1, 4), Site { room: 0, ..with(2, 0) }]), None, "no room");
        assert_eq!(better(&[]), None);
    }

    #[test]
    fn a_node_that_drains_gets_none_and_the_owner_only_what_could_be_nowhere_else() {
        let draining = |node| Site { drains: true, ..site(node, 2, 64) };
        let nodes = |sites| taking(sites, false).into_iter().map(|site| site.node.0).collect::<Vec<_>>();
        assert_eq!(nodes(vec![draining(1), site(2, 2, 64), site(3, 2, 64)]), [2, 3]);
        assert_eq!(nodes(vec![site(1, 2, 64), draining(2)]), [1]);
        assert_eq!(nodes(vec![site(1, 2, 0), draining(2)]), [1], "it waits for room");
        assert_eq!(nodes(vec![draining(1), draining(2)]), [2], "node 2 owns it");
        assert_eq!(nodes(vec![draining(1)]), [0; 0]);
    }

    #[test]
    fn a_run_that_starves_takes_a_node_that_drains_rather_than_none() {
        let draining = |node| Site { drains: true, ..site(node, 2, 64) };
        let nodes = |sites| taking(sites, true).into_iter().map(|site| site.node.0).collect::<Vec<_>>();
        assert_eq!(nodes(vec![draining(1), draining(3)]), [1, 3]);
        assert_eq!(nodes(vec![draining(1), site(3, 2, 0)]), [3], "one has come that does not drain");
    }

    #[test]
    fn a_run_gets_a_worker_a_cpu_but_no_more_than_threads() {
        assert_eq!((workers([2, 2, 2], 8), workers([2, 2, 2], 4), workers([], 4), workers([2], 0)), (6, 4, 1, 1));
    }
}
