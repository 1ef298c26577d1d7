use super::*;
use proptest::prelude::*;

fn header(kind: Kind) -> Header {
    let from = NodeId::new("node/a").expect("a good id");
    Header { kind, process: ProcessId(0x0102_0304), stream: 7, sequence: 9, from }
}

fn written() -> Vec<u8> {
    Bytes::from(Draft::new("t", &header(Kind::Message), &("x", 5_u32)).expect("small")).to_vec()
}

#[test]
fn every_kind_comes_back_as_it_was() {
    for kind in KINDS {
        let bytes = Draft::new("t", &header(kind), &vec![1_u8, 2]).expect("small").number(9);
        let envelope = Envelope::parse(bytes).expect("just written");
        assert_eq!(envelope.header, header(kind));
        assert_eq!(envelope.decode::<Vec<u8>>().expect("just written"), [1, 2]);
    }
}

#[test]
fn fields_unknown_to_the_reader_are_skipped() {
    #[derive(serde::Serialize)]
    struct Newer {
        kept: u8,
        added: &'static str,
    }
    #[derive(serde::Deserialize)]
    struct Older {
        kept: u8,
    }
    let bytes = Draft::new("t", &header(Kind::Message), &Newer { kept: 3, added: "later" }).expect("small").into();
    let older: Older = Envelope::parse(bytes).expect("just written").decode().expect("readable");
    assert_eq!(older.kept, 3);
}

#[test]
fn a_newer_version_says_so() {
    let mut bytes = written();
    bytes[0] = VERSION + 1;
    assert_eq!(Envelope::parse(bytes.into()).expect_err("newer"), EnvelopeError::Newer { version: VERSION + 1 });
}

#[test]
fn every_truncation_is_an_error_and_none_a_panic() {
    let bytes = written();
    for length in 0..bytes.len() {
        let cut = Bytes::copy_from_slice(&bytes[..length]);
        let read = Envelope::parse(cut).and_then(|envelope| envelope.decode::<(String, u32)>());
        assert!(read.is_err(), "{length} of {}", bytes.len());
    }
}

#[test]
fn a_body_nested_without_end_is_refused() {
    #[derive(Debug, serde::Deserialize)]
    struct Nest(#[expect(dead_code, reason = "only its reading is of interest")] Vec<Nest>);
    let deep = vec![0x91_u8; 1 << 20];
    assert!(decode_body::<Nest>(&deep).is_err());
}

#[test]
fn a_message_over_the_limit_does_not_leave() {
    let Err(PublishError::TooLarge { name: "t", size, .. }) =
        Draft::new("t", &header(Kind::Message), &"x".repeat(MESSAGE_LIMIT)).map(|_| ())
    else {
        panic!("should be too large");
    };
    assert!(size > MESSAGE_LIMIT);
}

proptest! {
    #[test]
    fn bytes_of_any_kind_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(envelope) = Envelope::parse(bytes.into()) {
            let _ = envelope.decode::<Vec<(String, u32)>>();
        }
    }
}
