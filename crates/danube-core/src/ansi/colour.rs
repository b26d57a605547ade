//! The palette of 256 colours: sixteen that a theme chooses, a cube of 216, a ramp of 24 greys.

/// The steps of the cube's three edges.
const STEPS: [u8; 6] = [0, 95, 135, 175, 215, 255];
/// The first colour of the cube, and of the ramp.
const CUBE: u8 = 16;
const RAMP: u8 = 232;

/// The colour of the palette that is nearest to another. Never one of the first sixteen, which look otherwise in each
/// theme.
#[must_use]
pub fn nearest(red: u8, green: u8, blue: u8) -> u8 {
    let wanted = [red, green, blue];
    let [r, g, b] = wanted.map(nearest_step);
    let cube = CUBE + 36 * r + 6 * g + b;
    let mean = (u16::from(red) + u16::from(green) + u16::from(blue)) / 3;
    let grey = RAMP + u8::try_from((mean.saturating_sub(3) / 10).min(23)).unwrap_or(23);
    if distance(grey, wanted) < distance(cube, wanted) { grey } else { cube }
}

/// Red, green and blue of a colour of the palette; none for the first sixteen.
#[must_use]
pub fn rgb(colour: u8) -> Option<[u8; 3]> {
    match colour {
        0..CUBE => None,
        CUBE..RAMP => {
            let place = colour - CUBE;
            Some([place / 36, place / 6 % 6, place % 6].map(|step| STEPS[usize::from(step)]))
        }
        RAMP.. => Some([8 + 10 * (colour - RAMP); 3]),
    }
}

fn nearest_step(value: u8) -> u8 {
    let distance = |step: &u8| STEPS[usize::from(*step)].abs_diff(value);
    (0..6).min_by_key(distance).unwrap_or(0)
}

fn distance(colour: u8, wanted: [u8; 3]) -> u32 {
    let found = rgb(colour).unwrap_or_default();
    found.iter().zip(wanted).map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum()
}
