//! Lines over x: a thin one for each seed, dashed by what it shows.

use super::{DASHES, Drawing, Mark, escaped, short};

const WIDTH: f64 = 680.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 70.0;
const BOTTOM: f64 = 46.0;

/// A figure's name and its lines of `(x, y)`, one a seed.
pub type Lines = (String, Vec<Vec<(f64, f64)>>);

/// Several figures over `x_name`, as SVG: for each its name and a line of `(x, y)` for each seed. y goes from 0 to 1, or to the highest
/// value where one is above.
pub fn curve(title: &str, x_name: &str, figures: &[Lines]) -> String {
    let names: Vec<&str> = figures.iter().map(|(name, _)| name.as_str()).collect();
    let description = format!("{} over {x_name}, a line for each seed.", names.join(", "));
    let mut drawing = Drawing::new(title, &description, WIDTH, HEIGHT);
    let points = || figures.iter().flat_map(|(_, lines)| lines.iter().flatten());
    let highest_x = points().map(|(x, _)| *x).fold(f64::MIN_POSITIVE, f64::max);
    let highest_y = points().map(|(_, y)| *y).fold(1.0, f64::max);
    let place = |x: f64, y: f64| {
        let left = LEFT + (WIDTH - LEFT - RIGHT) * x / highest_x;
        (left, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * y / highest_y)
    };
    for tick in 0..=4 {
        let part = f64::from(tick) / 4.0;
        let (x, y) = place(part * highest_x, part * highest_y);
        drawing.line((LEFT, y), (WIDTH - RIGHT, y), "stroke=\"#ddd\"");
        drawing.text(LEFT - 8.0, y + 4.0, "end", &short(part * highest_y));
        drawing.text(x, HEIGHT - BOTTOM + 18.0, "middle", &short(part * highest_x));
    }
    drawing.text(f64::midpoint(LEFT, WIDTH - RIGHT), HEIGHT - 8.0, "middle", &escaped(x_name));
    let mut legend = LEFT;
    for (index, (name, lines)) in figures.iter().enumerate() {
        let style = format!(
            "fill=\"none\" stroke=\"#111\" stroke-width=\"1.3\" stroke-opacity=\"0.75\" stroke-dasharray=\"{}\"",
            DASHES[index % DASHES.len()]
        );
        drawing.line((legend, 46.0), (legend + 28.0, 46.0), &style);
        drawing.add(&Mark::of(index).at(legend + 14.0, 46.0, 3.5, index > 0));
        drawing.text(legend + 34.0, 50.0, "start", &escaped(name));
        legend += 52.0 + 7.0 * name.len() as f64;
        for line in lines {
            let path: Vec<String> = line
                .iter()
                .map(|(x, y)| {
                    let (x, y) = place(*x, *y);
                    format!("{x:.1},{y:.1}")
                })
                .collect();
            drawing.add(&format!(
                "<polyline points=\"{}\" {style}><title>{}</title></polyline>",
                path.join(" "),
                escaped(name)
            ));
            if let Some((x, y)) = line.last() {
                let (x, y) = place(*x, *y);
                drawing.add(&Mark::of(index).at(x, y, 3.0, index > 0));
            }
        }
    }
    drawing.finish()
}
