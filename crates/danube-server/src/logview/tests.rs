//! Lines as programs print them, and as nobody should: what comes out is written down, or proven sound.

use danube_core::ansi::Style;

use super::*;

mod golden;
mod palette;
mod sound;

/// A line's HTML.
fn html(line: &[u8]) -> String {
    html_of(&Shown::new(Output { text: line, ..Output::default() }))
}

fn html_of(shown: &Shown) -> String {
    let mut out = String::new();
    write(shown, &Marks::default(), &mut out);
    out
}

fn text(line: &[u8]) -> String {
    Shown::new(Output { text: line, ..Output::default() }).text
}

#[test]
fn a_line_goes_on_in_the_style_of_the_one_before() {
    let style = {
        let mut tracker = danube_core::ansi::Tracker::default();
        tracker.feed(b"\x1b[31mred\n");
        tracker.style()
    };
    let shown = Shown::new(Output { style, text: b"still \x1b[0mnot", last: None });
    assert_eq!(html_of(&shown), "<span class=\"f1\">still </span>not");
}

#[test]
fn marks_cross_styles_and_links() {
    let shown = Shown::new(Output { text: b"a\x1b[1mb http://h/x\x1b[0m *** c", ..Output::default() });
    let hit = |text: &str| shown.text.find(text).map(|at| at..at + text.len()).unwrap();
    let marks = Marks { hits: vec![hit("ab"), hit("h/x *")], masked: vec![hit("***")] };
    let mut out = String::new();
    write(&shown, &marks, &mut out);
    let link = "<a href=\"http://h/x\" rel=\"noopener noreferrer nofollow\">";
    let masked = "<i class=\"m\" title=\"a secret was hidden here\">";
    assert_eq!(
        out,
        format!(
            "<mark>a<span class=\"s1\">b</span></mark><span class=\"s1\"> </span>{link}<span class=\"s1\">http://</span>\
             <mark><span class=\"s1\">h/x</span></mark></a><mark> </mark><mark>{masked}*</i></mark>{masked}**</i> c"
        )
    );
    sound::check(&out, &shown.text);
}

#[test]
fn rewrites_are_counted() {
    let rewrites = |line: &[u8]| Shown::new(Output { text: line, ..Output::default() }).rewrites;
    assert_eq!(rewrites(b"1%\r2%\r3%"), 2);
    assert_eq!(rewrites(b"100%\r"), 0, "nothing was written over");
    assert_eq!(rewrites(b"\r1%"), 0);
    assert_eq!(rewrites(b"a\x1b[2K\x1b[1Gb\r\x1b[Kc"), 2, "erased first");
    assert_eq!(rewrites(b"ab\x1b[D\x1b[K"), 0);
    assert_eq!(rewrites(b"aaa\x1b[Gb\x1b[2Dc"), 2);
}

#[test]
fn a_long_line_shows_its_beginning_or_its_last_state() {
    let long = [b'x'; 10_000];
    let cut = Shown::new(Output { text: &long, ..Output::default() });
    assert_eq!((cut.text.len(), cut.is_cut), (canvas::COLUMNS, true));
    let last = Last { style: Style::default(), text: b"99%", rewrites: 50_000 };
    let shown = Shown::new(Output { text: &long, last: Some(last), ..Output::default() });
    assert_eq!((shown.text.as_str(), shown.rewrites, shown.is_cut), ("99%", 50_000, false));
}
