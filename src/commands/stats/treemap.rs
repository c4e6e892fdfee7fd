//! Rectangles whose areas are as given and whose sides are near each other.
//!
//! Bruls, Huizing, van Wijk: Squarified Treemaps (2000).

/// A part of the plane, in the units of whoever asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rectangle {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

impl Rectangle {
    fn area(self) -> f64 {
        self.width * self.height
    }

    /// Without `margin` at each side, and `top` more above; nothing when it is too small.
    pub fn within(self, margin: f64, top: f64) -> Option<Self> {
        let (width, height) = (self.width - 2.0 * margin, self.height - 2.0 * margin - top);
        (width > 0.0 && height > 0.0).then_some(Self {
            x: self.x + margin,
            y: self.y + margin + top,
            width,
            height,
        })
    }
}

/// One rectangle a weight, filling `place` together. `weights` are positive, largest first.
pub fn squarify(weights: &[f64], place: Rectangle) -> Vec<Rectangle> {
    let scale = place.area() / weights.iter().sum::<f64>();
    let areas: Vec<f64> = weights.iter().map(|weight| weight * scale).collect();
    let (mut rest, mut left, mut found) = (areas.as_slice(), place, Vec::new());
    while !rest.is_empty() {
        let side = left.width.min(left.height);
        let mut taken = 1;
        while taken < rest.len() && worst(&rest[..=taken], side) <= worst(&rest[..taken], side) {
            taken += 1;
        }
        let (row, after) = rest.split_at(taken);
        left = lay(row, left, &mut found);
        rest = after;
    }
    found
}

/// The ratio of the longer to the shorter side, at its worst in a row along `side`.
fn worst(row: &[f64], side: f64) -> f64 {
    let sum: f64 = row.iter().sum();
    let thick = sum / side;
    row.iter().map(|area| area / thick).map(|long| (long / thick).max(thick / long)).fold(0.0, f64::max)
}

/// Puts a row along the shorter side; returns what is left.
fn lay(row: &[f64], left: Rectangle, found: &mut Vec<Rectangle>) -> Rectangle {
    let sum: f64 = row.iter().sum();
    let upright = left.width >= left.height;
    let side = if upright { left.height } else { left.width };
    let thick = sum / side;
    let mut along = 0.0;
    for area in row {
        let long = area / thick;
        found.push(match upright {
            true => Rectangle { x: left.x, y: left.y + along, width: thick, height: long },
            false => Rectangle { x: left.x + along, y: left.y, width: long, height: thick },
        });
        along += long;
    }
    match upright {
        true => Rectangle { x: left.x + thick, width: (left.width - thick).max(0.0), ..left },
        false => Rectangle { y: left.y + thick, height: (left.height - thick).max(0.0), ..left },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn areas_are_as_given_and_none_lies_outside(
            mut weights in prop::collection::vec(1.0f64..1e9, 1..60),
            width in 10.0f64..2000.0,
            height in 10.0f64..2000.0,
        ) {
            weights.sort_by(|a, b| b.total_cmp(a));
            let place = Rectangle { x: 3.0, y: 5.0, width, height };
            let found = squarify(&weights, place);
            prop_assert_eq!(found.len(), weights.len());
            let sum: f64 = weights.iter().sum();
            for (rectangle, weight) in found.iter().zip(&weights) {
                let share = weight / sum;
                prop_assert!((rectangle.area() / place.area() - share).abs() < 1e-6);
                prop_assert!(rectangle.x >= place.x - 1e-6 && rectangle.y >= place.y - 1e-6);
                prop_assert!(rectangle.x + rectangle.width <= place.x + width + 1e-6);
                prop_assert!(rectangle.y + rectangle.height <= place.y + height + 1e-6);
            }
        }
    }

    #[test]
    fn six_of_the_paper_are_laid_as_there() {
        // figure 4: 6, 6, 4, 3, 2, 2, 1 in 6 by 4
        let place = Rectangle { x: 0.0, y: 0.0, width: 6.0, height: 4.0 };
        let found = squarify(&[6.0, 6.0, 4.0, 3.0, 2.0, 2.0, 1.0], place);
        assert_eq!(found[0], Rectangle { x: 0.0, y: 0.0, width: 3.0, height: 2.0 });
        assert_eq!(found[1], Rectangle { x: 0.0, y: 2.0, width: 3.0, height: 2.0 });
        assert!((found[2].height - 7.0 / 3.0).abs() < 1e-9 && (found[2].x - 3.0).abs() < 1e-9);
    }
}
