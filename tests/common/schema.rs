//! The schema of mmview's JSON.

use serde_json::Value;

/// What decides whether a document matches.
pub fn validator() -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(include_str!("../../src/render/mmview-1.schema.json")).unwrap();
    jsonschema::validator_for(&schema).expect("the schema is valid")
}

/// Checks that a document matches.
#[track_caller]
pub fn check(output: &str) {
    let value: Value = serde_json::from_str(output).unwrap();
    let errors: Vec<_> = validator()
        .iter_errors(&value)
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
}
