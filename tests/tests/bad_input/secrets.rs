//! Secrets come from the environment. As arguments they are refused, and not even repeated in the refusal.

use dspex_tests::{Home, Project};

const SECRET: &str = "sk-51e0c2aa97";

#[test]
fn secrets_in_arguments_are_refused_and_not_repeated() {
    let (home, project) = (Home::new(), Project::new("program = dspy.Predict('q -> a')\n"));
    project.numbers(3);
    for words in [
        vec!["--env".to_owned(), format!("OPENAI_API_KEY={SECRET}")],
        vec!["--env".to_owned(), format!("hf_token={SECRET}")],
        vec!["--env".to_owned(), format!("DB_PASSWORD={SECRET}")],
        vec!["--env".to_owned(), format!("MY_SECRET={SECRET}")],
        vec!["--lm".to_owned(), "openai/x".to_owned(), "--lm-set".to_owned(), format!("api_key={SECRET}")],
        vec!["--lm".to_owned(), "openai/x".to_owned(), format!("--lm-set=auth_token={SECRET}")],
    ] {
        let output = home.eval(&project).args(&words).run().expect(2);
        output.says("secret").does_not_say(SECRET);
    }
    assert!(!home.path().exists(), "nothing was started for it");
}
