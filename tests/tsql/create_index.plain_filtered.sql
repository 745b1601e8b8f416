CREATE NONCLUSTERED INDEX [orders] ON [dbo].[orders] ([order_id] DESC) INCLUDE ([rv]) WHERE ([a]>(0) AND [b] IS NOT NULL) WITH (DATA_COMPRESSION = PAGE);
