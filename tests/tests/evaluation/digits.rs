//! The bundled case: its scores are pinned, so that a change anywhere between the data and the sum is seen.

use dspex_tests::{Home, Project, expect_fields};
use serde_json::json;

#[test]
fn digits_have_their_pinned_scores_with_0_16_and_200_demos() {
    let (home, project) = (Home::new(), Project::empty());
    for (program, score) in [("zero_shot", 9.5), ("few_shot_16", 60.5), ("few_shot_200", 95.5)] {
        let eval = home.eval(&project).program(&format!("dspex.samples.digits:{program}"));
        let eval = eval.devset("dspex.samples.digits:devset").metric("dspex.samples.digits:exact");
        let result = eval.args(["--lm", "dspex.samples.digits:lm"]).result();
        expect_fields(&result, json!({"score": score, "failed": 0}));
        expect_fields(&result, json!({"examples": 200, "cost_usd": null}));
        assert!(result["usage"]["digits/nearest-demo"]["total_tokens"].as_u64() > Some(0), "{result}");
    }
}
