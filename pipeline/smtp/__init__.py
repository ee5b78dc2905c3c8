"""Mail over SMTP: connections that end in time, and what each answer means for one message."""
