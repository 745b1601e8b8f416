CREATE UNIQUE CLUSTERED INDEX [orders] ON [dbo].[orders] ([order_id] DESC);
