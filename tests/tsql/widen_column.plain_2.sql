ALTER TABLE [dbo].[orders] ALTER COLUMN [rv] binary(8) NULL;
