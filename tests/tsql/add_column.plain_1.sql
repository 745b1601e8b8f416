ALTER TABLE [dbo].[orders] ADD [order_id] int NULL;
