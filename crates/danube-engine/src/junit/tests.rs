use super::*;

fn read(text: impl AsRef<[u8]>) -> Result<Vec<Case>, String> {
    let mut junit = Junit::new(text.as_ref()).map_err(|error| error.to_string())?;
    let mut cases = Vec::new();
    while let Some(case) = junit.next().map_err(|error| error.to_string())? {
        cases.push(case);
    }
    Ok(cases)
}

fn only(text: impl AsRef<[u8]>) -> Case {
    let mut cases = read(text).expect("a report");
    assert_eq!(cases.len(), 1);
    cases.remove(0)
}

/// A case with this inside.
fn case(inside: &str) -> Case {
    only(format!("<testsuite name='s'><testcase classname='c' name='n' time='1'>{inside}</testcase></testsuite>"))
}

fn text(short: Option<Short>) -> String {
    short.map(|short| short.text).unwrap_or_default()
}

#[test]
fn each_end_of_a_test_is_told_from_the_others() {
    for (inside, status) in [
        ("", CaseStatus::Passed),
        ("<system-out>hi</system-out><properties><property name='a' value='b'/></properties>", CaseStatus::Passed),
        ("<failure/>", CaseStatus::Failed),
        ("<error/>", CaseStatus::Error),
        ("<error/><failure/>", CaseStatus::Failed),
        ("<skipped/>", CaseStatus::Skipped),
        ("<flakyFailure/><flakyError/>", CaseStatus::Flaky),
        ("<failure/><rerunFailure/>", CaseStatus::Failed),
        ("<rerunError><stackTrace/></rerunError>", CaseStatus::Error),
    ] {
        assert_eq!(case(inside).status, status, "{inside}");
    }
    for (attributes, status) in [
        ("status='notrun' result='suppressed'", CaseStatus::Skipped),
        ("status='run' result='completed'", CaseStatus::Passed),
        ("status='disabled'", CaseStatus::Skipped),
    ] {
        let found = only(format!("<testsuites><testsuite><testcase name='a' {attributes}/></testsuite></testsuites>"));
        assert_eq!(found.status, status, "{attributes}");
    }
}

#[test]
fn the_message_is_short_and_the_details_are_the_rest() {
    let found = case("<failure message='1 &lt; 2' type='E'>\n  at a\n  at b\n</failure><system-out>out</system-out>");
    assert_eq!(
        (text(found.message), text(found.details)),
        ("1 < 2".into(), "  at a\n  at b\n\n--- output ---\nout".into())
    );
    let jest = case("<failure>\n\nError: no\n    at x</failure>");
    assert_eq!((text(jest.message), text(jest.details)), ("Error: no".into(), "Error: no\n    at x".into()));
    let gtest =
        case("<failure message='one'><![CDATA[one]]></failure><failure message='two'><![CDATA[two]]></failure>");
    assert_eq!((text(gtest.message), text(gtest.details)), ("one".into(), "one\n\ntwo".into()));
    let bare = case("<failure message='one'/><failure message='two'/>");
    assert_eq!((text(bare.message), text(bare.details)), ("one".into(), "two".into()));
    let typed = case("<error type='panic'/>");
    assert_eq!((text(typed.message), typed.details), ("panic".into(), None));
    let skipped = case("<skipped message='later'/><system-out>noise</system-out>");
    assert_eq!((text(skipped.message), skipped.details), ("later".into(), None));
}

#[test]
fn suites_within_each_other_are_named_from_the_outermost_on() {
    let cases = read(
        "<testsuites name='all'><testsuite name='a'><properties/><testcase name='1'/><testsuite name='b'>
         <testcase name='2'/></testsuite><testcase name='3'/></testsuite><testsuite><testcase/></testsuite></testsuites>",
    )
    .expect("a report");
    let named: Vec<_> = cases.iter().map(|case| (case.suite.text.as_str(), case.name.text.as_str())).collect();
    assert_eq!(named, [("a", "1"), ("a › b", "2"), ("a", "3"), ("", "unnamed")]);
}

#[test]
fn times_are_read_as_they_are_written() {
    for (written, read) in [
        ("0.25", Some(250_000)),
        ("1,234.5", Some(1_234_500_000)),
        ("0,25", Some(250_000)),
        (" 3 ", Some(3_000_000)),
        ("1e-5", Some(10)),
        ("", None),
        ("-1", None),
        ("NaN", None),
        ("inf", None),
        ("1e300", None),
        ("soon", None),
    ] {
        assert_eq!(microseconds(written), read, "{written}");
    }
}

#[test]
fn characters_and_references_become_text_that_can_be_kept() {
    let found = case(
        "<failure message='&#x41;&#66;&quot;&#0;&#xD800;&#27;'>a&amp;b <![CDATA[<&]]]]><![CDATA[>]]\0\x1b[31m]]></failure>",
    );
    assert_eq!(text(found.message), "AB\"\u{fffd}\u{fffd}\u{fffd}");
    assert_eq!(text(found.details), "a&b <&]]>]]\u{fffd}\u{fffd}[31m");
    let latin = only(b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- - -- > -->\n<testsuite><testcase name='gr\xfc\xdf'/></testsuite>\n<!-- end -->");
    assert_eq!(latin.name.text, "gr\u{fffd}\u{fffd}");
    let prefixed = only("<x:testsuite xmlns:x='u'><x:testcase x:name = \"a>b\"></x:testcase ></x:testsuite>");
    assert_eq!(prefixed.name.text, "a>b");
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    for (wrong, words) in [
        ("", "line 1: the file is empty"),
        ("\n\n", "line 3: there is no XML element"),
        ("ok 1 - test", "line 1: there is text outside of every element"),
        ("\n<html></html>", "line 2: <html> is no report of tests"),
        ("<testsuite>\n<testcase>\n", "line 3: the file ends within <testcase>"),
        ("<testsuite>\n</testsuites>", "line 2: </testsuites> where </testsuite> should be"),
        ("<testsuite/>\n<testsuite/>", "line 2: there is more after the end"),
        ("<testsuite/></testsuite>", "line 1: </testsuite> ends what never began"),
        ("<testsuite>a & b</testsuite>", "line 1: & stands for nothing"),
        ("<testsuite>&lol;</testsuite>", "line 1: &lol stands for nothing"),
        ("<testsuite>1 < 2</testsuite>", "line 1: a < that begins no element"),
        ("<testsuite name=a/>", "line 1: the attribute name of <testsuite> has no value in quotes"),
        ("<testsuite name/>", "line 1: the attribute name of <testsuite> has no value in quotes"),
        ("<testsuite name='a", "line 1: the file ends in the middle of a tag"),
        ("<testsuite><![CDATA[ ]] >", "line 1: the file ends within <![CDATA["),
        ("<!DOCTYPE a [\n<!ENTITY b 'c'>]><testsuite/>", "line 1: it has a DTD"),
        ("<testsuite><!ELEMENT a></testsuite>", "line 1: it has a DTD"),
        ("<?xml version='1.0' encoding='ISO-8859-1'?><testsuite/>", "line 1: it is in \"iso-8859-1\""),
        ("<?xml version='1.0'", "line 1: the file ends in the middle of a tag"),
        ("\0<testsuite/>", "line 1: it is in UTF-16 or UTF-32"),
        ("<\0t\0", "line 1: it is in UTF-16 or UTF-32"),
    ] {
        let said = read(wrong).expect_err(wrong);
        assert!(said.starts_with(words), "{wrong:?}: {said}");
    }
}

#[test]
fn nothing_hostile_grows() {
    let nested = "<testsuite>".repeat(1_000_000);
    assert!(read(nested).expect_err("deep").contains("more than 100 elements within each other"));
    let attributes: String = (0..1000).map(|n| format!("a{n}='' ")).collect();
    assert!(read(format!("<testsuite {attributes}/>")).expect_err("many").contains("more than 100 attributes"));
    let name = "x".repeat(100_000);
    assert!(read(format!("<testsuite {name}=''/>")).expect_err("long").contains("a name of more than 256 bytes"));
    let long = "ä]".repeat(1_000_000);
    let found = only(format!(
        "<testsuite name='{long}'><testcase classname='{long}' name='{long}'>
         <failure message='{long}'>{long}</failure><system-out><![CDATA[{long}]]></system-out></testcase></testsuite>"
    ));
    for (short, most) in [
        (found.suite, LONGEST_NAME),
        (found.class, LONGEST_NAME),
        (found.name, LONGEST_NAME),
        (found.message.expect("one"), LONGEST_MESSAGE),
        (found.details.expect("some"), LONGEST_DETAILS),
    ] {
        assert!(short.cut && short.text.len() <= most && short.text.len() > most - 4, "{}", short.text.len());
        assert!(long.starts_with(&short.text), "whole characters");
    }
}

#[test]
fn long_texts_in_pieces_are_whole() {
    for around in [("", ""), ("<![CDATA[", "]]>")] {
        let long = "]ä€]]x".repeat(4000);
        let found = case(&format!("<failure>{}{long}{}</failure>", around.0, around.1));
        let details = found.details.expect("some");
        assert!(!details.cut && details.text == long, "{around:?}");
    }
}

proptest::proptest! {
    /// Whatever comes, it ends, with cases or words.
    #[test]
    fn any_bytes_are_read_to_an_end(parts in proptest::collection::vec(0_usize..24, 0..60)) {
        const PARTS: [&[u8]; 24] = [
            b"<testsuites>", b"<testsuite name='a'>", b"<testcase name='b'>", b"</testcase>", b"</testsuite>",
            b"</testsuites>", b"<failure message='m'>", b"</failure>", b"<![CDATA[", b"]]>", b"]", b">", b"<", b"/>",
            b"<skipped/>", b"&amp;", b"&", b";", b"\xff", b"\0", b"<!--", b"-->", b"<?", b"text\n",
        ];
        let bytes: Vec<u8> = parts.into_iter().flat_map(|part| PARTS[part]).copied().collect();
        let _ = read(bytes);
    }
}
