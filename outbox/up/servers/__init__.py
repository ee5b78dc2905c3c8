"""The embedded servers: where their files lie, as whom they run, what they leave behind."""
