import { RetentionDays } from 'aws-cdk-lib/aws-logs';

/** The shortest time, of those that CloudWatch offers, that is not below so many hours. */
export function retention(hours: number): RetentionDays {
  const offered = Object.values(RetentionDays)
    .filter((days): days is RetentionDays => typeof days === 'number')
    .sort((a, b) => a - b);
  return offered.find((days) => days * 24 >= hours) ?? RetentionDays.INFINITE;
}
