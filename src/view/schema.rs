//! The JSON schema follows from the columns: this writes the rows' objects into it, and checks that the file has them.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{Columns, Spec, ValueType, check, cores, diff, heap, regions, summary, watch};
use crate::demo;
use crate::field::NATIVE_SUMS;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/render/mmview-1.schema.json");

/// A definition of the schema, and the columns that it follows from. A field of `optional` need not be there.
struct Definition {
    name: &'static str,
    fields: Vec<Spec>,
    optional: Vec<&'static str>,
}

fn definition<R>(name: &'static str, columns: &Columns<R>, optional: &[&'static str]) -> Definition {
    Definition { name, fields: columns.fields().collect(), optional: optional.to_vec() }
}

fn definitions() -> Vec<Definition> {
    const PURGEABLE: &[&str] = &["volatile", "nonvolatile", "empty"];
    const PAGES: &[&str] = &["volatile", "nonvolatile", "empty", "pages", "parts"];
    // Of another program there is less to say than of a change.
    const CHANGE_ONLY: &[&str] = &["start", "end", "delta", "before", "after"];
    let native = NATIVE_SUMS.map(|field| field.id);
    vec![
        definition("region", &regions::COLUMNS, PAGES),
        definition("gap", &regions::GAP, &[]),
        definition("part", &regions::PARTS, &[]),
        definition("zone", &heap::COLUMNS, &[]),
        definition("size_class", &heap::SIZE_COLUMNS, &[]),
        definition("allocation", &heap::ALLOCATION_COLUMNS, &[]),
        definition("type_row", &summary::COLUMNS, &[PURGEABLE, &native].concat()),
        definition("owner_row", &summary::BY_OWNER, &native),
        definition("zones_of_owner", &heap::BY_OWNER, &[]),
        definition("check_row", &check::COLUMNS, &[]),
        definition("found", &check::FOUND_COLUMNS, &[]),
        definition("type_change", &diff::TYPES, &[]),
        definition("zone_change", &diff::ZONES, &[]),
        definition("file_change", &diff::FILES, &[]),
        definition("map_change", &diff::CHANGES, &[]),
        definition("kept_dump", &cores::COLUMNS, &[]),
        definition("event", &watch::COLUMNS, CHANGE_ONLY),
        definition("step", &demo::STEPS, &[]),
        definition("observation", &demo::OBSERVATIONS, &[]),
        definition("lesson", &demo::LIST, &[]),
    ]
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

fn or_null(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

/// The schema of a value.
fn value(value: ValueType) -> Value {
    match value {
        ValueType::Kind => reference("kind"),
        ValueType::Type | ValueType::Text | ValueType::Label | ValueType::Mark => json!({ "type": "string" }),
        ValueType::Address => reference("address"),
        ValueType::Size => reference("size"),
        ValueType::Measured => reference("measured"),
        ValueType::OptionalText => json!({ "type": ["string", "null"] }),
        ValueType::OptionalCount | ValueType::Offset => json!({ "type": ["integer", "null"], "minimum": 0 }),
        ValueType::Truth => json!({ "type": "boolean" }),
        ValueType::Count => json!({ "type": "integer", "minimum": 0 }),
        ValueType::Delta | ValueType::OptionalCountDelta => json!({ "type": ["integer", "null"] }),
        ValueType::CountDelta => json!({ "type": "integer" }),
        ValueType::Protection => reference("protection"),
        ValueType::OptionalProtection => or_null(reference("protection")),
        ValueType::Share => reference("share"),
        ValueType::Word(words) => json!({ "enum": words }),
        ValueType::Name => reference("name"),
        ValueType::OptionalName => reference("optional_name"),
        ValueType::Time | ValueType::Date => json!({ "type": "string", "format": "date-time" }),
        ValueType::Object(name) => reference(name),
        ValueType::OptionalObject(name) => or_null(reference(name)),
        ValueType::List(name) => json!({ "type": "array", "items": reference(name) }),
    }
}

/// The schema of an object with these fields.
fn object(Definition { fields, optional, .. }: &Definition) -> Map<String, Value> {
    let required: Vec<_> = fields.iter().map(|spec| spec.id).filter(|id| !optional.contains(id)).collect();
    let property = |spec: &Spec| {
        let mut schema = value(spec.value);
        if !spec.about.is_empty() {
            let mut described = Map::from_iter([("description".to_owned(), spec.about.into())]);
            described.append(schema.as_object_mut().expect("a schema is an object"));
            schema = described.into();
        }
        (spec.id.to_owned(), schema)
    };
    let properties: Map<_, _> = fields.iter().map(property).collect();
    super::fields(json!({ "type": "object", "required": required, "properties": properties }))
}

/// Run with `MMVIEW_BLESS=1` to write the file.
#[test]
fn the_schema_follows_from_the_columns() {
    let text = std::fs::read_to_string(Path::new(FILE)).unwrap();
    let mut schema: Value = serde_json::from_str(&text).unwrap();
    for definition in definitions() {
        let defined = &mut schema["$defs"][definition.name];
        let mut object = object(&definition);
        if let Some(description) = defined.get("description") {
            object.shift_insert(0, "description".to_owned(), description.clone());
        }
        *defined = object.into();
    }
    let totals = &mut schema["$defs"]["totals"]["properties"];
    for field in NATIVE_SUMS {
        totals[field.id] = json!({ "description": field.about, "$ref": "#/$defs/measured" });
    }
    let written = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    if std::env::var_os("MMVIEW_BLESS").is_some() {
        std::fs::write(FILE, &written).unwrap();
        return;
    }
    assert!(text == written, "run `MMVIEW_BLESS=1 cargo test schema` and review the difference");
}
