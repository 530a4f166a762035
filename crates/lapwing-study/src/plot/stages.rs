//! A row for each stage: a small mark for each seed, a large one at the mean, a line over its interval.

use super::{Drawing, Mark, escaped, short};

/// A row.
pub struct Row {
    /// Its name.
    pub name: String,
    /// For each figure of the plot: one number a seed, from 0 to 1.
    pub values: Vec<Vec<f64>>,
    /// For each figure: the interval of the mean, if there is one.
    pub intervals: Vec<Option<(f64, f64)>>,
}

const LEFT: f64 = 190.0;
const RIGHT: f64 = 30.0;
const WIDTH: f64 = 760.0;
const TOP: f64 = 66.0;
/// Height that a figure takes within its row.
const LANE: f64 = 14.0;

/// Rates by stage, as SVG. `figures` names what the values of each row are.
pub fn stages(title: &str, figures: &[String], rows: &[Row]) -> String {
    let row_height = LANE * figures.len() as f64 + 10.0;
    let bottom = TOP + row_height * rows.len() as f64;
    let description = format!(
        "One row for each stage of training: {}. Small marks are seeds, large marks their mean, lines its 95 % interval.",
        figures.join(", ")
    );
    let mut drawing = Drawing::new(title, &description, WIDTH, bottom + 40.0);
    let mut x = 12.0;
    for (index, figure) in figures.iter().enumerate() {
        drawing.add(&Mark::of(index).at(x + 6.0, 40.0, 4.0, index > 0));
        drawing.text(x + 16.0, 44.0, "start", &escaped(figure));
        x += 34.0 + 7.0 * figure.len() as f64;
    }
    let at = |value: f64| LEFT + (WIDTH - LEFT - RIGHT) * value.clamp(0.0, 1.0);
    for tick in 0..=4 {
        let value = f64::from(tick) / 4.0;
        drawing.line((at(value), TOP - 6.0), (at(value), bottom), "stroke=\"#ddd\"");
        drawing.text(at(value), bottom + 18.0, "middle", &short(value));
    }
    for (index, row) in rows.iter().enumerate() {
        let top = TOP + row_height * index as f64;
        drawing.line((12.0, top - 4.0), (WIDTH - 12.0, top - 4.0), "stroke=\"#eee\"");
        drawing.text(LEFT - 12.0, top + row_height / 2.0, "end", &escaped(&row.name));
        for (lane, (values, interval)) in row.values.iter().zip(&row.intervals).enumerate() {
            let y = top + LANE * (lane as f64 + 0.5) + 1.0;
            let mark = Mark::of(lane);
            for value in values {
                drawing.add(&mark.at(at(*value), y, 1.8, lane > 0));
            }
            if values.is_empty() {
                continue;
            }
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let mut told = format!("{}, {}: {}", row.name, figures[lane], short(mean));
            if let Some((low, high)) = interval {
                drawing.line((at(*low), y), (at(*high), y), "stroke=\"#111\" stroke-width=\"1.5\"");
                told =
                    format!("{told} [{}, {}], {} seeds", short(*low), short(*high), values.len());
            }
            drawing.add(&format!(
                "<g>{}<title>{}</title></g>",
                mark.at(at(mean), y, 4.5, lane > 0),
                escaped(&told)
            ));
        }
    }
    drawing.finish()
}
