ALTER TABLE [dbo].[orders] ALTER COLUMN [order_id] int NULL;
