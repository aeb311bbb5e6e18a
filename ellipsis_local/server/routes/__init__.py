"""The endpoints, by what they are about; each checks the request's form, asks the drive, and shapes the answer."""
