//! A job's summary as HTML. Its text is a stranger's: of Markdown only what is structure becomes elements. HTML in it is
//! shown as text, links lead to http and https, an image is its words, and nothing is styled.

use pulldown_cmark::{Alignment, CodeBlockKind, CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

/// What a summary says, as elements of the page.
pub(super) fn to_html(text: &str) -> String {
    let mut links = Links::default();
    let parser = Parser::new_ext(text, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH);
    let mut out = String::new();
    html::push_html(&mut out, parser.flat_map(|event| harmless(event, &mut links)));
    out
}

/// Whether the link that is open leads somewhere.
#[derive(Default)]
struct Links {
    leads: bool,
}

fn harmless<'a>(event: Event<'a>, links: &mut Links) -> Vec<Event<'a>> {
    match event {
        Event::Html(text) | Event::InlineHtml(text) | Event::Text(text) => vec![Event::Text(shown(&text))],
        Event::Code(text) => vec![Event::Code(shown(&text))],
        Event::Start(tag) => start(tag, links),
        Event::End(tag) => end(tag, links),
        other => vec![other],
    }
}

fn start<'a>(tag: Tag<'a>, links: &mut Links) -> Vec<Event<'a>> {
    match tag {
        Tag::Link { dest_url, .. } => {
            links.leads = dest_url.starts_with("https://") || dest_url.starts_with("http://");
            vec![Event::Html(opening(&dest_url, links.leads).into())]
        }
        Tag::Image { .. } => vec![Event::Start(Tag::Emphasis)],
        Tag::Heading { level, .. } => {
            let (id, classes, attrs) = (None, Vec::new(), Vec::new());
            vec![Event::Start(Tag::Heading { level: below(level), id, classes, attrs })]
        }
        // Both scroll in themselves, and so must be reached by keyboard. A column's alignment would be a style.
        Tag::CodeBlock(CodeBlockKind::Fenced(_) | CodeBlockKind::Indented) => {
            vec![raw("<pre tabindex=\"0\"><code>")]
        }
        Tag::Table(columns) => {
            let plain = vec![Alignment::None; columns.len()];
            vec![raw("<div class=\"wide\" tabindex=\"0\">"), Event::Start(Tag::Table(plain))]
        }
        other => vec![Event::Start(other)],
    }
}

fn end<'a>(tag: TagEnd, links: &Links) -> Vec<Event<'a>> {
    match tag {
        TagEnd::Link => vec![raw(if links.leads { "</a>" } else { "</span>" })],
        TagEnd::Image => vec![Event::End(TagEnd::Emphasis)],
        TagEnd::Heading(level) => vec![Event::End(TagEnd::Heading(below(level)))],
        TagEnd::CodeBlock => vec![raw("</code></pre>\n")],
        TagEnd::Table => vec![Event::End(TagEnd::Table), raw("</div>\n")],
        other => vec![Event::End(other)],
    }
}

const fn raw<'a>(text: &'static str) -> Event<'a> {
    Event::Html(CowStr::Borrowed(text))
}

fn opening(url: &str, leads: bool) -> String {
    if !leads {
        return "<span>".to_owned();
    }
    let mut escaped = String::new();
    for c in url.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            c => escaped.push(c),
        }
    }
    format!("<a href=\"{escaped}\" rel=\"noopener noreferrer nofollow\">")
}

/// The page's own headings are the first and the second.
const fn below(level: HeadingLevel) -> HeadingLevel {
    match level {
        HeadingLevel::H1 => HeadingLevel::H3,
        HeadingLevel::H2 => HeadingLevel::H4,
        HeadingLevel::H3 => HeadingLevel::H5,
        _ => HeadingLevel::H6,
    }
}

/// What could turn the direction of the text, or hide, is shown by its number.
fn shown<'a>(text: &str) -> CowStr<'a> {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // The second joins the parts of an emoji.
            '\n' | '\t' | '\u{200d}' => out.push(c),
            c if crate::logview::is_boxed(c) => out.push_str(&format!("[U+{:04X}]", c as u32)),
            c => out.push(c),
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structure_becomes_elements() {
        let html =
            to_html("# Built\n\nFor **staging**, ~~not~~ `prod`:\n\n- one\n- two\n\n| a | b |\n|--:|---|\n| 1 | 2 |\n");
        for part in
            ["<h3>Built</h3>", "<strong>staging</strong>", "<del>not</del>", "<code>prod</code>", "<li>one</li>"]
        {
            assert!(html.contains(part), "{part}: {html}");
        }
        assert!(html.contains("<div class=\"wide\" tabindex=\"0\"><table>") && html.contains("<td>1</td>"), "{html}");
        assert!(!html.contains("style"), "{html}");
    }

    #[test]
    fn what_could_act_is_text() {
        for (text, never) in [
            ("<script>alert(1)</script>", "<script"),
            ("a <img src=x onerror=alert(1)> b", "<img"),
            ("<div onclick=\"x\">\n\nb\n", "<div"),
            ("[click](javascript:alert(1))", "href"),
            ("[click](<data:text/html,x>)", "href"),
            ("[click](//evil.example)", "href"),
            ("![a picture](https://evil.example/track.png)", "evil.example"),
            ("[x](https://a.example/\"onmouseover=\"x)", "\"onmouseover"),
            ("<https://a.example/\u{202e}x>", "\u{202e}x</a>"),
            ("a\u{202e}b `c\u{200b}d`", "\u{202e}"),
            ("```x\" onclick=\"y\n</code></pre><script>\n```", "onclick=\"y"),
        ] {
            let html = to_html(text);
            assert!(!html.contains(never), "{text}: {html}");
        }
        assert!(to_html("![a picture](x.png)").contains("<em>a picture</em>"));
    }

    #[test]
    fn links_lead_out_and_take_nothing_along() {
        let html = to_html("[docs](https://a.example/?a=1&b=2)");
        let link = "<a href=\"https://a.example/?a=1&amp;b=2\" rel=\"noopener noreferrer nofollow\">docs</a>";
        assert!(html.contains(link), "{html}");
    }

    #[test]
    fn random_text_leaves_no_element_open() {
        let pieces =
            ["[", "](", ")", "http://a", "![", "*", "`", "<b>", "#", "\n", "|", "> ", "- ", "```", "&", "\"", "<!--"];
        let mut state: u64 = 7;
        for _ in 0..2000 {
            let mut text = String::new();
            for _ in 0..24 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push_str(pieces[usize::try_from(state >> 33).expect("small") % pieces.len()]);
            }
            let html = to_html(&text);
            for name in ["a", "span", "div", "pre", "em", "table"] {
                let count = |word: String| html.matches(&word).count();
                let opened = count(format!("<{name}>")) + count(format!("<{name} "));
                assert_eq!(opened, count(format!("</{name}>")), "{name} of {text:?}: {html}");
            }
        }
    }
}
