//! Native JSON keeps its bytes wherever it travels.

use proptest::prelude::*;
use pullwright_protocol::{Content, Event, Item, Native, Provenance, RawJson};
use serde_json::Value;

fn item(json: &RawJson) -> Item {
    Item {
        content: Content::Opaque,
        native: Some(Native {
            provenance: Provenance {
                provider: "p".into(),
                wire: "w".into(),
                model: "m".into(),
                account: None,
            },
            json: json.clone(),
        }),
    }
}

fn through_the_log(json: &RawJson) -> RawJson {
    let event = Event::ItemAppended { item: item(json) };
    let text = serde_json::to_string(&event).unwrap();
    // A log may be read as untyped JSON in between.
    let untyped: Value = serde_json::from_str(&text).unwrap();
    match serde_json::from_value(untyped).unwrap() {
        Event::ItemAppended { item } => item.native.unwrap().json,
        other => panic!("{other:?}"),
    }
}

#[test]
fn numbers_white_space_and_key_order_stay() {
    let text =
        "{ \"z\":1.0,\n\"a\" : 1e3, \"é\": \"\\u00e9\", \"big\": 123456789012345678901234567890 }";
    let json = RawJson::parse(text).unwrap();
    assert_eq!(through_the_log(&json).as_str(), text);
    assert_eq!(serde_json::to_string(json.as_raw()).unwrap(), text);
}

#[test]
fn what_is_not_json_is_refused() {
    for text in ["", "{", "{} {}", "nul", "'a'"] {
        assert!(RawJson::parse(text).is_err(), "{text}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("finite", |n| n.is_finite())
            .prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map(".*", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_document_stays_byte_for_byte(value in any_json(), pretty: bool) {
        let text = match pretty {
            true => serde_json::to_string_pretty(&value).unwrap(),
            false => value.to_string(),
        };
        let json = RawJson::parse(text.clone()).unwrap();
        let travelled = through_the_log(&json);
        prop_assert_eq!(travelled.as_str(), text);
    }
}
