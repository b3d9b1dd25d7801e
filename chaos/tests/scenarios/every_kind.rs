use dspex_chaos::scenario::{self, Scenario};

#[test]
fn every_scenario_is_played_or_skipped_for_a_need_that_it_names() {
    let without: Vec<&str> =
        scenario::ALL.iter().filter(|scenario| scenario.needs.is_empty()).map(|scenario| scenario.name).collect();
    assert_eq!(without, ["kill-nine", "pause", "flipped-byte"], "these run everywhere");
    let needs = |of: &Scenario| of.needs.len();
    assert_eq!(scenario::find("mixed").map(needs), Some(3));
}
