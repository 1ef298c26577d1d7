use super::*;

/// The model that comes with the project keeps its promise on a sample; `cargo xtask guide-model eval` asks everything.
#[test]
fn exo_guide_answers_its_questions_and_most_rephrasings() {
    let places = Places::find().expect("cargo knows the workspace");
    let questions = corpus::read(&places.root.join("tools/guide-model/corpus")).expect("the corpus is well-formed");
    let sample = corpus::sample(questions, 80, 1);
    let mut engine = OwnEngine::load_for(&places.guide_model(), options(1)).expect("the model loads");
    let marks = Exam { questions: sample, show_progress: false }.hold(engine.engine()).expect("the engine answers");
    assert!(marks.suffice(), "{}", table(&marks));
}
