//! Moments as AWS writes them.

use std::time::{SystemTime, UNIX_EPOCH};

use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};

/// Milliseconds since the epoch.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// Such as `22/Feb/2022:19:07:37 +0000`.
pub(super) fn in_logs(millis: u64) -> String {
    let moment = moment(millis);
    let (hour, minute, second) = moment.to_hms();
    let month = &moment.month().to_string()[..3];
    let (day, year) = (moment.day(), moment.year());
    format!("{day:02}/{month}/{year}:{hour:02}:{minute:02}:{second:02} +0000")
}

/// Such as `2022-02-22T19:07:37Z`.
pub(super) fn iso(millis: u64) -> String {
    let moment = moment(millis);
    let (year, month, day) = (moment.year(), u8::from(moment.month()), moment.day());
    let (hour, minute, second) = moment.to_hms();
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Reads what stands in signatures, such as `20220222T190737Z`.
pub(super) fn parse_amz(text: &str) -> Option<SystemTime> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let part = |text: &str, from: usize, to: usize| text.get(from..to)?.parse::<u8>().ok();
    let month = Month::try_from(part(date, 4, 6)?).ok()?;
    let date = Date::from_calendar_date(date.get(..4)?.parse().ok()?, month, part(date, 6, 8)?);
    let time = Time::from_hms(part(time, 0, 2)?, part(time, 2, 4)?, part(time, 4, 6)?);
    Some(PrimitiveDateTime::new(date.ok()?, time.ok()?).assume_utc().into())
}

fn moment(millis: u64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp((millis / 1_000) as i64).unwrap()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn moments_are_written_as_in_the_fixtures() {
        assert_eq!(in_logs(1_707_503_008_941), "09/Feb/2024:18:23:28 +0000");
        assert_eq!(iso(1_707_503_008_941), "2024-02-09T18:23:28Z");
        let read = parse_amz("20240209T182328Z").unwrap();
        assert_eq!(read, UNIX_EPOCH + Duration::from_secs(1_707_503_008));
        assert!(parse_amz("20240209").is_none());
    }
}
