"""The catalog: the rows that say what is where. The only part that knows SQLAlchemy."""
