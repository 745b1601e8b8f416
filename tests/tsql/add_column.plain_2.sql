ALTER TABLE [dbo].[orders] ADD [rv] binary(8) NULL;
