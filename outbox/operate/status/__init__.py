"""`herald status`: where everything stands, from the database and from Kafka."""
