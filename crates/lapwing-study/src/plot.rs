//! Plots as SVG that is read without colour: marks differ in shape, lines in their dashes, and every mark has a title.

mod curve;
mod stages;

use std::fmt::Write as _;

pub use curve::{Lines, curve};
pub use stages::{Row, stages};

/// Marks, in the order in which figures are named.
const MARKS: [Mark; 5] = [Mark::Disc, Mark::Square, Mark::Triangle, Mark::Diamond, Mark::Cross];
/// Dashes of lines, in the same order.
const DASHES: [&str; 5] = ["", "7 3", "2 3", "9 3 2 3", "1 2"];
const TEXT: &str = "font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"#111\"";

#[derive(Clone, Copy)]
enum Mark {
    Disc,
    Square,
    Triangle,
    Diamond,
    Cross,
}

impl Mark {
    fn of(index: usize) -> Self {
        MARKS[index % MARKS.len()]
    }

    /// The mark about a point; `open` draws only its outline.
    fn at(self, x: f64, y: f64, r: f64, open: bool) -> String {
        let fill = if open { "#fff" } else { "#111" };
        let style = format!("fill=\"{fill}\" stroke=\"#111\" stroke-width=\"1.2\"");
        let path = match self {
            Self::Disc => {
                return format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{r}\" {style}/>");
            }
            Self::Square => {
                format!("M{:.1} {:.1}h{}v{}h{}z", x - r, y - r, 2.0 * r, 2.0 * r, -2.0 * r)
            }
            Self::Triangle => format!("M{:.1} {:.1}l{r} {}h{}z", x, y - r, 2.0 * r, -2.0 * r),
            Self::Diamond => format!("M{:.1} {:.1}l{r} {r}l-{r} {r}l-{r} -{r}z", x, y - r),
            Self::Cross => {
                format!("M{:.1} {:.1}l{d} {d}m0 -{d}l-{d} {d}", x - r, y - r, d = 2.0 * r)
            }
        };
        format!("<path d=\"{path}\" {style}/>")
    }
}

/// A drawing that is begun with its title and size.
struct Drawing {
    svg: String,
}

impl Drawing {
    fn new(title: &str, description: &str, width: f64, height: f64) -> Self {
        let svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\">\n\
             <title>{}</title>\n<desc>{}</desc>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
            escaped(title),
            escaped(description)
        );
        let mut drawing = Self { svg };
        drawing.text(
            12.0,
            22.0,
            "start",
            &format!("<tspan font-weight=\"600\" font-size=\"14\">{}</tspan>", escaped(title)),
        );
        drawing
    }

    fn add(&mut self, element: &str) {
        self.svg.push_str(element);
        self.svg.push('\n');
    }

    /// Text that is markup already.
    fn text(&mut self, x: f64, y: f64, anchor: &str, markup: &str) {
        let _ = writeln!(
            self.svg,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {TEXT}>{markup}</text>"
        );
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), style: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        let _ = writeln!(
            self.svg,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" {style}/>"
        );
    }

    fn finish(mut self) -> String {
        self.svg.push_str("</svg>\n");
        self.svg
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A number without needless zeros.
fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_and_the_mean_have_a_mark_and_names_are_no_markup() {
        let row = Row {
            name: "a <b>".to_owned(),
            values: vec![vec![0.25, 0.75]],
            intervals: vec![Some((0.2, 0.8))],
        };
        let svg = stages("rates & more", &["payload".to_owned()], &[row]);
        // The legend, two seeds and their mean.
        assert_eq!(svg.matches("<circle").count(), 4, "{svg}");
        assert!(
            svg.contains("<title>a &lt;b&gt;, payload: 0.5 [0.2, 0.8], 2 seeds</title>"),
            "{svg}"
        );
        assert!(svg.contains("<title>rates &amp; more</title>"), "{svg}");
    }

    #[test]
    fn lines_of_different_figures_differ_in_their_dashes() {
        let line = || vec![vec![(0.0, 0.0), (1.0, 1.0)]];
        let svg = curve("c", "step", &[("on".to_owned(), line()), ("off".to_owned(), line())]);
        let dashes: std::collections::BTreeSet<&str> = svg
            .lines()
            .filter(|line| line.starts_with("<polyline"))
            .filter_map(|line| line.split("stroke-dasharray=\"").nth(1)?.split('"').next())
            .collect();
        assert_eq!(dashes.len(), 2, "{svg}");
    }
}
