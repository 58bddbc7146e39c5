//! Figures beside what they should be.

/// One figure.
pub struct Row {
    /// What was measured.
    pub what: String,
    /// What came out, in words.
    pub figure: String,
    /// The bar, and whether it is held; nothing for a figure without one.
    pub bar: Option<(String, bool)>,
}

impl Row {
    /// A figure that has no bar.
    pub fn free(what: &str, figure: String) -> Self {
        Self { what: what.to_owned(), figure, bar: None }
    }

    /// A figure that should not be above `most`.
    pub fn at_most(what: &str, figure: String, value: f64, most: f64, unit: &str) -> Self {
        let bar = Some((format!("<= {most}{unit}"), value <= most));
        Self { what: what.to_owned(), figure, bar }
    }
}

/// Prints a table.
pub fn print(rows: &[Row]) {
    let width = rows.iter().map(|row| row.what.len()).max().unwrap_or_default();
    println!("{:<width$}  {:<13}  {:<5}  figure", "what", "bar", "holds");
    for Row { what, figure, bar } in rows {
        let (bar, holds) = match bar {
            None => ("-", "-"),
            Some((bar, true)) => (&**bar, "yes"),
            Some((bar, false)) => (&**bar, "NO"),
        };
        println!("{what:<width$}  {bar:<13}  {holds:<5}  {figure}");
    }
}

/// The middle one.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
