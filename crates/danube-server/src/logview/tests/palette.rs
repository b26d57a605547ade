//! The 256 colours as `web/static/ansi.css` has them: made here, committed, made again by each test run.
//! `DANUBE_GOLDEN=write` writes the file anew.

use std::fmt::Write as _;

use danube_core::ansi::rgb;

type Colour = [u8; 3];

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../web/static/ansi.css");
/// What a log's text stands on (`--sunk`), by theme.
const LIGHT: Colour = [0xf1, 0xef, 0xe9];
const DARK: Colour = [0x0f, 0x10, 0x11];
const BLACK: Colour = [0; 3];
const WHITE: Colour = [255; 3];
/// What WCAG 2.2 asks of text is 4.5.
const ENOUGH: f64 = 4.60;
const ENOUGH_ON_COLOUR: f64 = 4.58;

/// The first sixteen: as text by theme, and behind text.
const LIGHT_SIXTEEN: &str = "1d1c19 ca2e2f 157a4f 82680f 1c6cc1 b032b1 1f748c 57534a \
                             666666 ce252f 027b4f 766d16 0d6bc4 a642a7 1b758b 1d1c19";
const DARK_SIXTEEN: &str = "7d7d7d e04541 0dbc79 c8a000 317ed5 c549c5 11a8cd e5e5e5 \
                            7d7d7d f14c4c 23d18b f5e543 3b8eea d670d6 29b8db ffffff";
const BEHIND_SIXTEEN: &str = "000000 cd3131 0dbc79 e5e510 2472c8 bc3fbc 11a8cd e5e5e5 \
                              666666 f14c4c 23d18b f5f543 3b8eea d670d6 29b8db ffffff";

fn luminance(colour: Colour) -> f64 {
    let linear = |value: u8| {
        let value = f64::from(value) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    let [red, green, blue] = colour.map(linear);
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

fn contrast(a: Colour, b: Colour) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

fn of_sixteen(list: &str, number: u8) -> Colour {
    let hex = list.split_whitespace().nth(number.into()).unwrap();
    [0, 2, 4].map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
}

/// Colours of the cube have four bits for each value, so that the file is small; the ramp's greys have eight.
fn round(number: u8, colour: Colour) -> Colour {
    if number < 232 { colour.map(|value| ((u16::from(value) + 8) / 17 * 17) as u8) } else { colour }
}

/// A colour of the palette, made darker or lighter until it can be read.
fn readable(number: u8, on: Colour, towards: Colour) -> Colour {
    let from = rgb(number).unwrap();
    let mixed = |share: u16| {
        let mix = |at: usize| (u16::from(from[at]) * (255 - share) + u16::from(towards[at]) * share).div_ceil(255);
        round(number, [0, 1, 2].map(|at| mix(at) as u8))
    };
    (0..=255).map(mixed).find(|colour| contrast(*colour, on) >= ENOUGH).unwrap()
}

fn text(number: u8) -> [Colour; 2] {
    match number {
        0..16 => [LIGHT_SIXTEEN, DARK_SIXTEEN].map(|list| of_sixteen(list, number)),
        _ => [readable(number, LIGHT, BLACK), readable(number, DARK, WHITE)],
    }
}

fn behind(number: u8) -> (Colour, Colour) {
    let colour = rgb(number).map_or_else(|| of_sixteen(BEHIND_SIXTEEN, number), |colour| round(number, colour));
    let text = if contrast(colour, BLACK) > contrast(colour, WHITE) { BLACK } else { WHITE };
    (colour, text)
}

fn hex(colour: Colour) -> String {
    if colour.iter().all(|value| value % 17 == 0) {
        return colour.iter().fold("#".to_owned(), |hex, value| format!("{hex}{:x}", value / 17));
    }
    colour.iter().fold("#".to_owned(), |hex, value| format!("{hex}{value:02x}"))
}

fn css() -> String {
    let mut css = "/* Made by a test: crates/danube-server/src/logview/tests/palette.rs */\n@layer parts{\n".to_owned();
    for number in 0..=255 {
        let [light, dark] = text(number).map(hex);
        let colour = if light == dark { light } else { format!("light-dark({light},{dark})") };
        writeln!(css, ".f{number}{{color:{colour}}}").unwrap();
    }
    for number in 0..=255 {
        let (colour, text) = behind(number);
        writeln!(css, ".b{number}{{background:{};color:{}}}", hex(colour), hex(text)).unwrap();
    }
    css + "}\n"
}

#[test]
fn the_style_sheet_is_what_is_made_here() {
    if std::env::var_os("DANUBE_GOLDEN").is_some() {
        std::fs::write(FILE, css()).unwrap();
    }
    assert!(std::fs::read_to_string(FILE).unwrap() == css(), "{FILE} is another: DANUBE_GOLDEN=write makes it");
}

#[test]
fn every_colour_can_be_read() {
    for number in 0..=255 {
        for (colour, on) in text(number).into_iter().zip([LIGHT, DARK]) {
            let found = contrast(colour, on);
            assert!(found >= ENOUGH, "{number}: {} on {} has {found:.2}", hex(colour), hex(on));
        }
        let (colour, text) = behind(number);
        let found = contrast(text, colour);
        assert!(found >= ENOUGH_ON_COLOUR, "{number}: {} on {} has {found:.2}", hex(text), hex(colour));
    }
}

#[test]
fn contrast_is_computed_as_the_standard_says() {
    assert!((contrast(BLACK, WHITE) - 21.0).abs() < 1e-9);
    assert!((contrast([0x77; 3], WHITE) - 4.48).abs() < 0.005);
}
